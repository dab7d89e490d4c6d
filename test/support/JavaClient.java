import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Apache Kafka's own client, for tests of what others write and read. `produce BROKERS`: each line of stdin is
 * `TOPIC PARTITION CODEC BASE64`, a batch of its own. `consume BROKERS TOPIC...`: partition 0 of each topic to its end, read_committed, as
 * lines `TOPIC OFFSET BASE64`.
 */
public class JavaClient {
  public static void main(String[] args) throws Exception {
    if (args[0].equals("produce")) produce(args[1]);
    else consume(args[1], List.of(args).subList(2, args.length));
  }

  private static void produce(String brokers) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    var producers = new java.util.HashMap<String, KafkaProducer<byte[], byte[]>>();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] fields = line.split(" ");
      var producer = producers.computeIfAbsent(fields[2], codec -> new KafkaProducer<>(
          Map.<String, Object>of("bootstrap.servers", brokers, "compression.type", codec, "linger.ms", 0),
          new ByteArraySerializer(), new ByteArraySerializer()));
      byte[] value = Base64.getDecoder().decode(fields[3]);
      producer.send(new ProducerRecord<>(fields[0], Integer.valueOf(fields[1]), null, value)).get();
    }
    producers.values().forEach(KafkaProducer::close);
  }

  private static void consume(String brokers, List<String> topics) {
    var partitions = topics.stream().map(topic -> new TopicPartition(topic, 0)).toList();
    try (var consumer = new KafkaConsumer<byte[], byte[]>(
        Map.<String, Object>of("bootstrap.servers", brokers, "isolation.level", "read_committed"),
        new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(at -> consumer.position(at) < ends.get(at))) {
        for (var record : consumer.poll(Duration.ofSeconds(1))) {
          System.out.println(record.topic() + " " + record.offset() + " " + Base64.getEncoder().encodeToString(record.value()));
        }
      }
    }
  }
}
