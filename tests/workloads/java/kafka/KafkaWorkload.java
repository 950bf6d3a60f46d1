import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.HashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Arguments: BROKER TOPIC. Makes the topic, sends 20 messages one by one, 10 without acknowledgement, 3 in a transaction and one
 * that is too large, and reads them as a member of a classic group and of one of the new protocol, 33 each.
 */
public final class KafkaWorkload {
    private static String broker;
    private static String topic;

    public static void main(String[] arguments) throws Exception {
        broker = arguments[0];
        topic = arguments[1];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker, "client.id", "java-admin"))) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        }
        try (KafkaProducer<byte[], byte[]> producer = producer("java-producer", Map.of("acks", "all"))) {
            send(producer, 20);
        }
        Map<String, Object> fast = Map.of("acks", "0", "enable.idempotence", "false");
        try (KafkaProducer<byte[], byte[]> producer = producer("java-fast", fast)) {
            send(producer, 10);
        }
        try (KafkaProducer<byte[], byte[]> producer = producer("java-txn", Map.of("transactional.id", "txn"))) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, 3);
            producer.commitTransaction();
        }
        Map<String, Object> large = Map.of("max.request.size", 4 << 20, "enable.idempotence", "false");
        try (KafkaProducer<byte[], byte[]> producer = producer("java-large", large)) {
            producer.send(new ProducerRecord<>(topic, new byte[2 << 20])).get();
            throw new IllegalStateException("too large a message was taken");
        } catch (ExecutionException expected) {
            System.out.println(expected.getCause());
        }
        consume("java-classic", "classic", 33);
        consume("java-modern", "consumer", 33);
    }

    private static KafkaProducer<byte[], byte[]> producer(String client, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", broker);
        settings.put("client.id", client);
        settings.put("linger.ms", 0);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, int count) throws Exception {
        for (int i = 0; i < count; i++) {
            producer.send(new ProducerRecord<>(topic, ("message " + i).getBytes())).get();
        }
    }

    private static void consume(String client, String protocol, int count) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", broker);
        settings.put("client.id", client);
        settings.put("group.id", client + "-group");
        settings.put("group.protocol", protocol);
        settings.put("auto.offset.reset", "earliest");
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            for (int got = 0; got < count; ) {
                got += consumer.poll(Duration.ofSeconds(1)).count();
            }
            consumer.commitSync();
        }
    }
}
