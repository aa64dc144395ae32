//! Readers that leave early, and work that is stopped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{expect, lma, noise};

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("many")).unwrap();
    for n in 0..3000 {
        fs::write(dir.path().join(format!("many/a file with a rather long name, number {n}")), "").unwrap();
    }
    fs::write(dir.path().join("many/large"), noise(4 << 20, 5)).unwrap();
    expect(dir.path(), 0, "create a.lma many --codec store");
    for line in ["list a.lma", "list -l a.lma", "list --json a.lma", "cat a.lma many/large", "extract a.lma --to-tar -"]
    {
        let mut child = lma(dir.path());
        let mut child = child.args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 16];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_archive_that_nobody_reads_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("large"), noise(4 << 20, 5)).unwrap();
    let mut child = lma(dir.path());
    let mut child = child.args(["create", "-", "large", "--codec", "store"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

/// Starts `create out/a.lma --from-tar -` and feeds it a file that does not end until the program does.
fn start_endless_create(dir: &Path) -> Child {
    fs::create_dir(dir.join("out")).unwrap();
    let mut child = lma(dir);
    let line = "create out/a.lma --from-tar - --codec store -v";
    let mut child = child.args(line.split(' ')).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || {
        let mut header = tar::Header::new_gnu();
        header.set_size(1 << 40);
        header.set_mode(0o644);
        header.set_path("endless").unwrap();
        header.set_cksum();
        let block = noise(1 << 16, 9);
        stdin.write_all(header.as_bytes()).unwrap();
        for _ in 0..32 {
            if stdin.write_all(&block).is_err() {
                return;
            }
        }
        // Slowly from here on, and not for ever: nobody's disk is to be filled. The same content again and
        // again makes no new chunk, and is interrupted all the same.
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && stdin.write_all(&block[..512]).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    wait_for_temporary_file(dir);
    child
}

fn wait_for_temporary_file(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(dir.join("out")).unwrap().next().is_none() {
        assert!(Instant::now() < deadline, "no temporary file appears");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    for which in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = start_endless_create(dir.path());
        signal(&child, which);
        let last = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).last();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(last.as_deref(), Some("lma: interrupted"));
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
    }
}

#[test]
fn an_interrupt_that_is_passed_on_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start_endless_create(dir.path());
    // Both wait until the process goes on.
    for which in [Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT] {
        signal(&child, which);
    }
    let last = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).last();
    assert_eq!((child.wait().unwrap().code(), last.as_deref()), (Some(130), Some("lma: interrupted")));
    assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
}

#[test]
fn an_interrupt_while_waiting_for_input_leaves_nothing_behind() {
    for again in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        let mut child = lma(dir.path());
        let mut child = child.args(["create", "out/a.lma", "--from-tar", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let pipe = child.stdin.take();
        wait_for_temporary_file(dir.path());
        signal(&child, Signal::INT);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(child.try_wait().unwrap().is_none(), "nothing comes through the pipe");
        // A second interrupt does not wait for input; or whoever feeds the pipe was interrupted as well.
        if again {
            signal(&child, Signal::INT);
        } else {
            drop(pipe);
        }
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
    }
}

#[test]
fn a_kill_leaves_nothing_under_the_final_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start_endless_create(dir.path());
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(!dir.path().join("out/a.lma").exists());
}
