"""OpenTelemetry's Python exporters, driven by test/bridge/python.long.test.ts.

  samples PROTOCOL ENDPOINT COMPRESSION   sends spans, metrics and log records; prints for each signal what became of
                                          it, how many items it had, and its request as hex
  stream PROTOCOL ENDPOINT SECONDS        sends a span in each request for so long, on eight threads; prints the names
                                          of the spans that were acknowledged, and of those that were given up

PROTOCOL is grpc or http, ENDPOINT has no path. Every exporter has 60 s for a request.
"""
import json
import logging
import sys
import threading
import time

import grpc
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TIMEOUT_SECONDS = 60
THREADS = 8
RESOURCE = Resource.create({"service.name": "python-shop", "service.instance.id": "python-1"})


def exporter(protocol, endpoint, signal, compression="none"):
    if protocol == "grpc":
        makers = {"traces": GrpcSpans, "metrics": GrpcMetrics, "logs": GrpcLogs}
        kind = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        return makers[signal](endpoint=endpoint, insecure=True, timeout=TIMEOUT_SECONDS, compression=kind)
    makers = {"traces": HttpSpans, "metrics": HttpMetrics, "logs": HttpLogs}
    return makers[signal](
        endpoint=f"{endpoint}/v1/{signal}", timeout=TIMEOUT_SECONDS, compression=Compression(compression)
    )


def sample_spans(names):
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("python", "1.2.3")
    for name in names:
        with tracer.start_as_current_span(name, attributes={"text": "ümläut", "int": -7, "list": [1, 2], "yes": True}) as span:
            span.add_event("event", {"double": 0.25})
    return memory.get_finished_spans()


def sample_metrics():
    reader = InMemoryMetricReader()
    meter = MeterProvider(resource=RESOURCE, metric_readers=[reader]).get_meter("python")
    meter.create_counter("orders").add(3, {"shop": "a"})
    meter.create_histogram("latency").record(0.5)
    meter.create_up_down_counter("open").add(-2)
    return reader.get_metrics_data()


def sample_logs():
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger = logging.getLogger("python-shop")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = LoggingHandler(logger_provider=provider)
    logger.addHandler(handler)
    logger.warning("one %s", "text", extra={"key": "value"})
    logger.error("two")
    logger.removeHandler(handler)
    return memory.get_finished_logs()


def samples(protocol, endpoint, compression):
    spans, metrics, logs = sample_spans(["one", "two"]), sample_metrics(), sample_logs()
    batches = {
        "traces": (spans, encode_spans(spans), 2),
        "metrics": (metrics, encode_metrics(metrics), 3),
        "logs": (logs, encode_logs(logs), 2),
    }
    answers = {}
    for signal, (batch, request, items) in batches.items():
        sender = exporter(protocol, endpoint, signal, compression)
        answers[signal] = {
            "result": sender.export(batch).name,
            "items": items,
            "request": request.SerializeToString().hex(),
        }
        sender.shutdown()
    print(json.dumps(answers))


def stream(protocol, endpoint, seconds):
    until = time.monotonic() + float(seconds)
    acknowledged, failed = [], []

    def work(thread):
        sender = exporter(protocol, endpoint, "traces")
        number = 0
        while time.monotonic() < until:
            name = f"python-{protocol}-{thread}-{number}"
            number += 1
            result = sender.export(sample_spans([name])).name
            (acknowledged if result == "SUCCESS" else failed).append(name)
            time.sleep(0.05)
        sender.shutdown()

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"acknowledged": acknowledged, "failed": failed}))


logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
{"samples": samples, "stream": stream}[sys.argv[1]](*sys.argv[2:])
