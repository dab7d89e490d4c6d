/** Log records of the corpus: most belong to a trace, a few to none. */
import type { ItemSource } from './corpus.ts';
import { createTraceMix, type ItemContext } from './corpus-spans.ts';
import { attribute, EXCEPTIONS, METHODS, ROUTES } from './corpus-vocabulary.ts';

/** Share of records that are written while a span is current. */
const TRACED_SHARE = 0.7;

/**
 * | LogRecord | | | |
 * |---|---|---|---|
 * | 1 time_unix_nano | fixed64 | 6 attributes | KeyValue |
 * | 2 severity_number | enum | 8 flags | fixed32 |
 * | 3 severity_text | string | 9 trace_id | bytes |
 * | 5 body | AnyValue | 10 span_id | bytes |
 * | 11 observed_time_unix_nano | fixed64 | | |
 *
 * Every record has a span id of its own, also one without a trace: that is how a test counts them.
 */
export function createLogSource(context: ItemContext): ItemSource {
  const { writer, random, shape } = context;
  const traces = createTraceMix(context);

  return {
    write(item, timeUnixNano) {
      const failed = random.chance(shape.errorShare);
      const [severity, severityText] = failed ? ([17, 'ERROR'] as const) : random.pick(SEVERITIES);
      writer.message(2, () => {
        writer.fixed64(1, timeUnixNano);
        writer.varint(2, severity);
        writer.string(3, severityText);
        writer.message(5, () => {
          if (failed) writer.string(1, random.pick(EXCEPTIONS).join(': '));
          else writer.string(1, `${random.pick(METHODS)} ${random.pick(ROUTES)} 200 ${random.integer(1, 900)} ms`);
        });
        attribute(writer, 6, 'log.logger', 'com.example.http.AccessLog');
        attribute(writer, 6, 'thread.name', `http-nio-8080-exec-${random.integer(1, 64)}`);
        attribute(writer, 6, 'app.user.id', random.integer(1, 999_999));
        if (random.chance(0.5)) attribute(writer, 6, 'app.wait_ms', { double: random.unit() * 40 });
        if (random.chance(TRACED_SHARE)) {
          writer.fixed32(8, 1);
          writer.bytes(9, traces.next().traceId);
        }
        writer.bytes(10, context.spanId(item));
        writer.fixed64(11, timeUnixNano + BigInt(random.integer(1_000, 100_000)));
      });
    },
  };
}

const SEVERITIES = [
  [9, 'INFO'],
  [9, 'INFO'],
  [9, 'INFO'],
  [5, 'DEBUG'],
  [13, 'WARN'],
] as const;
