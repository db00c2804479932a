import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Handles records of a topic by Confluent's Parallel Consumer, in key order, as the benchmark's own handler does: each takes so many milliseconds, and checks that its key's
 * numbers come one after another. Prints what it took, as one JSON object.
 *
 * <p>Arguments: bootstrap, topic, group, milliseconds of work, records, concurrency, keys.
 */
public final class ParallelConsumer {
  public static void main(String[] arguments) throws Exception {
    String bootstrap = arguments[0];
    String topic = arguments[1];
    long workMs = Long.parseLong(arguments[3]);
    long records = Long.parseLong(arguments[4]);
    int concurrency = Integer.parseInt(arguments[5]);
    int keys = Integer.parseInt(arguments[6]);

    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    properties.put("group.id", arguments[2]);
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer());
    var options =
        ParallelConsumerOptions.<String, byte[]>builder()
            .ordering(ParallelConsumerOptions.ProcessingOrder.KEY)
            .consumer(consumer)
            .maxConcurrency(concurrency)
            .commitMode(ParallelConsumerOptions.CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
            .commitInterval(Duration.ofSeconds(1))
            .build();
    var processor = ParallelStreamProcessor.createEosStreamProcessor(options);
    processor.subscribe(List.of(topic));

    AtomicLong handled = new AtomicLong();
    AtomicLong broken = new AtomicLong();
    AtomicLongArray next = new AtomicLongArray(keys);
    processor.poll(
        context -> {
          var record = context.getSingleConsumerRecord();
          if (workMs > 0) {
            try {
              Thread.sleep(workMs);
            } catch (InterruptedException interrupted) {
              Thread.currentThread().interrupt();
            }
          }
          int key = Integer.parseInt(record.key());
          long number = ByteBuffer.wrap(record.value()).getLong();
          if (!next.compareAndSet(key, number, number + 1)) {
            broken.incrementAndGet();
          }
          handled.incrementAndGet();
        });

    while (handled.get() == 0) {
      Thread.sleep(1);
    }
    long began = System.nanoTime();
    long cpuBegan = cpuNanos();
    while (handled.get() < records) {
      Thread.sleep(1);
    }
    double seconds = (System.nanoTime() - began) / 1e9;
    double cpuMicros = (cpuNanos() - cpuBegan) / 1e3;
    System.out.printf(
        "{\"records_per_s\": %.1f, \"cpu_us_per_record\": %.3f, \"resident_peak_kb\": %d, \"broken\": %d}%n",
        records / seconds, cpuMicros / records, residentPeakKb(), broken.get());
    System.out.flush();
    // What is in progress needs no end here.
    Runtime.getRuntime().halt(0);
  }

  private static long cpuNanos() {
    return ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO).toNanos();
  }

  private static long residentPeakKb() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    return 0;
  }
}
