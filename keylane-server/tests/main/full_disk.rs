//! The embedded log's device is full: publishing waits and says so, the origin's writers notice nothing, and everything arrives once there is room.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keylane_parts::wait_until;

use crate::bed::{Bed, left_out};
use crate::running::Running;

/// What a single small write of an application may take.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// What an append waits for room, and what a busy machine adds to it.
const IN_VAIN_MAX: Duration = Duration::from_secs(20);

/// A device of a few megabytes, until it is dropped.
struct Device(tempfile::TempDir);

impl Device {
    /// `None` where mounting is not allowed.
    fn of(size: &str) -> Option<Device> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = mount(&format!("size={size}"), folder.path());
        mounted.then(|| Device(folder))
    }

    /// Takes what room is left.
    fn fill(&self) {
        let filler = std::fs::File::create(self.0.path().join("filler"));
        let filled = std::io::copy(&mut std::io::repeat(0), &mut filler.expect("a file"));
        let error = filled.expect_err("the device has an end");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn grow(&self, size: &str) {
        let grown = mount(&format!("remount,size={size}"), self.0.path());
        assert!(grown, "the device grows");
    }
}

fn mount(options: &str, at: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", options, "none"])
        .arg(at)
        .stderr(Stdio::null());
    mount.status().is_ok_and(|status| status.success())
}

impl Drop for Device {
    fn drop(&mut self) {
        // Lazy: whoever still has a file open there ends a moment later.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The status says what is wrong and what to do, over every attempt.
fn is_told(bed: &Bed, road: &Running, log: &Path) {
    let place = log.display().to_string();
    let told = [
        "capture",
        "KL-PUBLISH-001",
        "no room left on the device",
        &place,
        "make room",
    ];
    bed.wait(road, "the status to say that there is no room", || {
        let status = bed.status();
        let why = status["why"].as_str().unwrap_or_default();
        status["state"] == "degraded" && told.iter().all(|word| why.contains(word))
    });
    let attempts = || road.log().matches("the log has no room").count();
    let (before, mut taken) = (attempts(), bed.status()["published"].clone());
    let mut taken_at = None;
    bed.wait(road, "two more attempts", || {
        let status = bed.status();
        if status["published"] != taken {
            // A little fitted in still: the log works until the next append has waited in vain.
            taken = status["published"].clone();
            taken_at = Some(Instant::now());
        }
        let works = taken_at.is_some_and(|at: Instant| at.elapsed() < IN_VAIN_MAX);
        assert!(
            works || status["state"] == "degraded",
            "{status}: {}",
            road.log()
        );
        attempts() >= before + 2
    });
}

#[test]
fn a_full_device_under_the_log_lets_publishing_wait_and_the_origin_s_writers_go_on() {
    if left_out() {
        return;
    }
    let Some(device) = Device::of("4m") else {
        eprintln!("left out: a small device of its own needs the right to mount");
        return;
    };
    let mut bed = Bed::new("full_disk", "create table t(id int primary key, v text);");
    let log = device.0.path().join("log.db");
    bed.log = Some(format!("embedded: {{ path: \"{}\" }}", log.display()));
    bed.configure(&[bed.wiring()]);
    let road = bed.start(&[]);
    bed.settle(&road);
    let mut rows = 0;
    let mut write = |count: u32| {
        let began = Instant::now();
        bed.origin_sql(&format!(
            "insert into t select id, repeat(md5(id::text), 8) from generate_series({}, {}) id",
            rows + 1,
            rows + count
        ));
        rows += count;
        assert!(began.elapsed() < WRITE_MAX, "the origin's writer waited");
    };
    for _ in 0..10 {
        write(1000);
    }
    is_told(&bed, &road, &log);
    let settle = bed.run(&["settle", "--timeout", "1s"]);
    let stderr = String::from_utf8_lossy(&settle.stderr);
    // 4: there was not even room to open the log a second time.
    assert!(matches!(settle.status.code(), Some(1 | 4)), "{stderr}");
    assert!(stderr.contains("no room left on the device"), "{stderr}");
    write(10);
    // A stop is heard while publishing waits.
    road.terminate();
    device.fill();
    let mut road = bed.start(&[]);
    // It ends with 4, or finds just enough room to start and waits for more.
    let met = wait_until("the start to meet the full device", WRITE_MAX * 12, || {
        let status = bed.run(&["status", "--format", "json"]).stdout;
        let status = String::from_utf8_lossy(&status).into_owned();
        Ok(road.has_ended() || status.contains("\"degraded\""))
    });
    assert!(met.is_ok(), "{}", road.log());
    if road.has_ended() {
        assert_eq!(road.await_end(), Some(4), "{}", road.log());
        assert!(road.log().contains("make room"), "{}", road.log());
    }
    device.grow("100m");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.assert_equal(&["t"]);
    road.terminate();
}
