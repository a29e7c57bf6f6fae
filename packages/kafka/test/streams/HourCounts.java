/*
 * A Kafka Streams program as somebody else would write it: counts the scans of each parcel by hours of event time, and
 * writes what it counted as events of another aggregate. It knows nothing of Concursus but the topics.
 *
 *   java -cp 'kafka-streams/*' HourCounts.java <brokers> <topics, with commas> <result topic> <application id>
 */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

public final class HourCounts {
  static final ObjectMapper JSON = new ObjectMapper();
  static final Duration WINDOW = Duration.ofHours(1);
  /** What comes later than this is left out by Kafka Streams, for good. */
  static final Duration GRACE = Duration.ofDays(2);
  static final String SEEN = "seen";

  public static void main(String[] args) {
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .<String, String>stream(List.of(args[1].split(",")))
        .processValues(new Once())
        .filter((parcel, event) -> event.get("name").asText().equals("scanned"))
        // The key is the aggregate's id and the timestamp is the event's time: both as they are.
        .groupByKey()
        .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
        .count()
        .toStream()
        .map((hour, scans) -> counted(hour.key(), hour.window().startTime(), scans))
        .to(args[2]);

    Properties config = new Properties();
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
    config.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir"));
    config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    config.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
    // Each count is told, not only the last one of a while.
    config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    config.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    KafkaStreams streams = new KafkaStreams(builder.build(), config);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1);
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
  }

  /**
   * An event of our form. The n-th count of an hour is always the same event: the count is its sequence, so that a repeat
   * is a repeat, and a later count is a later event and no other content of the same one.
   */
  static KeyValue<String, String> counted(String parcel, Instant from, long scans) {
    String id = parcel + "@" + from;
    String event =
        JSON.createObjectNode()
            .put("aggregateType", "parcelHour")
            .put("aggregateId", id)
            .put("name", "counted")
            .put("version", "0")
            .put("eventTimestamp", from.plus(WINDOW).toEpochMilli())
            .put("streamId", "hour-counts")
            .put("processingId", "")
            .put("characteristics", 0)
            .put("sequence", scans)
            .set("parameters", JSON.createObjectNode().put("scans", scans))
            .toString();
    // Every other count goes as an array of one: readers of our form take both.
    return KeyValue.pair(id, scans % 2 == 0 ? "[" + event + "]" : event);
  }

  /** Takes arrays apart, and drops what it has seen, by the header that says what is one event. */
  static final class Once implements FixedKeyProcessorSupplier<String, String, JsonNode> {
    @Override
    public FixedKeyProcessor<String, String, JsonNode> get() {
      return new FixedKeyProcessor<>() {
        private FixedKeyProcessorContext<String, JsonNode> context;
        private KeyValueStore<String, Long> seen;

        @Override
        public void init(FixedKeyProcessorContext<String, JsonNode> context) {
          this.context = context;
          this.seen = context.getStateStore(SEEN);
        }

        @Override
        public void process(FixedKeyRecord<String, String> record) {
          String key = new String(record.headers().lastHeader("concursus-key").value());
          if (seen.putIfAbsent(key, record.timestamp()) != null) return;
          JsonNode value = read(record.value());
          for (JsonNode event : value.isArray() ? value : List.of(value)) {
            require(event.get("eventTimestamp").asLong() == record.timestamp(), "its time", record);
            require(event.get("aggregateId").asText().equals(record.key()), "its key", record);
            context.forward(record.withValue(event));
          }
        }
      };
    }

    @Override
    public Set<StoreBuilder<?>> stores() {
      return Set.of(
          Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(SEEN), Serdes.String(), Serdes.Long()));
    }
  }

  static JsonNode read(String text) {
    try {
      return JSON.readTree(text);
    } catch (Exception error) {
      throw new IllegalArgumentException(text, error);
    }
  }

  static void require(boolean holds, String what, FixedKeyRecord<String, String> record) {
    if (!holds) throw new IllegalStateException("A record has not " + what + " of its event: " + record);
  }
}
