import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Handles records of a topic by Confluent's Parallel Consumer, in key order, as the benchmark's own handler does: each takes so many milliseconds, and checks that its key's
 * numbers come one after another. Says that it is ready once it has handled a record of each partition; in the end how long each record of a live feed waited, and what it took, as one JSON object.
 *
 * <p>Arguments: bootstrap, topic, group, milliseconds of work, records, concurrency, keys, backlog or live, seconds at most, bytes of a partition's fetch (0: as shipped).
 */
public final class ParallelConsumer {
  /** A topic that is fed has one record without a key in each, to begin with. */
  private static final int PARTITIONS = 8;

  /** How long the first record may take to come. */
  private static final long FIRST_WITHIN_NANOS = 60_000_000_000L;

  private static final AtomicLong primers = new AtomicLong();
  private static final AtomicLong began = new AtomicLong();
  private static final AtomicLong handled = new AtomicLong();
  private static final AtomicLong working = new AtomicLong();
  private static final AtomicLong atOnceMax = new AtomicLong();
  private static final AtomicLong broken = new AtomicLong();
  private static final ConcurrentLinkedQueue<long[]> waits = new ConcurrentLinkedQueue<>();

  public static void main(String[] arguments) throws Exception {
    long workMs = Long.parseLong(arguments[3]);
    long records = Long.parseLong(arguments[4]);
    AtomicLongArray next = new AtomicLongArray(Integer.parseInt(arguments[6]));
    boolean live = arguments[7].equals("live");
    long longest = Long.parseLong(arguments[8]) * 1_000_000_000L;

    var processor = processor(arguments);
    processor.subscribe(List.of(arguments[1]));
    long started = System.nanoTime();
    processor.poll(
        context -> {
          var record = context.getSingleConsumerRecord();
          if (record.key() == null) {
            if (primers.incrementAndGet() == PARTITIONS) {
              System.out.println("ready");
              System.out.flush();
            }
            return;
          }
          began.compareAndSet(0, System.nanoTime());
          atOnceMax.accumulateAndGet(working.incrementAndGet(), Math::max);
          ByteBuffer value = ByteBuffer.wrap(record.value());
          long number = value.getLong();
          if (live) {
            long due = value.getLong();
            waits.add(new long[] {due, ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()) - due});
          }
          int key = Integer.parseInt(record.key());
          boolean inOrder = next.get(key) == number;
          if (workMs > 0) {
            try {
              Thread.sleep(workMs);
            } catch (InterruptedException interrupted) {
              Thread.currentThread().interrupt();
            }
          }
          if (!inOrder || !next.compareAndSet(key, number, number + 1)) {
            broken.incrementAndGet();
          }
          working.decrementAndGet();
          handled.incrementAndGet();
        });

    while (began.get() == 0 && System.nanoTime() - started < FIRST_WITHIN_NANOS) {
      Thread.sleep(1);
    }
    long cpuBegan = cpuNanos();
    while (handled.get() < records && System.nanoTime() - began.get() < longest) {
      Thread.sleep(1);
    }
    long done = Math.min(handled.get(), records);
    double seconds = (System.nanoTime() - began.get()) / 1e9;
    double cpuMicros = (cpuNanos() - cpuBegan) / 1e3;
    for (long[] wait : waits) {
      System.out.println("waited " + wait[0] + " " + Math.max(wait[1], 0));
    }
    System.out.printf(
        "{\"records\": %d, \"seconds\": %.4f, \"cpu_us_per_record\": %.3f, \"resident_peak_kb\": %d, \"at_once_max\": %d, \"broken\": %d}%n",
        done, seconds, cpuMicros / Math.max(done, 1), residentPeakKb(), atOnceMax.get(), broken.get());
    System.out.flush();
    // What is in progress needs no end here.
    Runtime.getRuntime().halt(0);
  }

  private static ParallelStreamProcessor<String, byte[]> processor(String[] arguments) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("group.id", arguments[2]);
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    if (!arguments[9].equals("0")) {
      properties.put("max.partition.fetch.bytes", arguments[9]);
    }
    var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer());
    var options =
        ParallelConsumerOptions.<String, byte[]>builder()
            .ordering(ParallelConsumerOptions.ProcessingOrder.KEY)
            .consumer(consumer)
            .maxConcurrency(Integer.parseInt(arguments[5]))
            .commitMode(ParallelConsumerOptions.CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
            .commitInterval(Duration.ofSeconds(1))
            .build();
    return ParallelStreamProcessor.createEosStreamProcessor(options);
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
