//! What is said to whom, and with which exit code.

use std::fs;

use crate::support::{check, expect, run};

#[test]
fn wrong_usage_exits_with_64() {
    let dir = tempfile::tempdir().unwrap();
    for line in [
        "bogus",
        "create",
        "create a.lma",
        "create a.lma x --codec best",
        "create a.lma x -0",
        "create a.lma x -3 --model m.gguf",
        "create a.lma x --codec cm --model m.gguf",
        "create a.lma x --chunk-size 17",
        "create a.lma x --streams 0",
        "extract a.lma -O --to-tar -",
        "extract - -T -",
        "mount - d",
        "list a.lma --no-such-option",
        "completions tcl",
    ] {
        let output = run(dir.path(), line);
        check(&output, 64, line);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{line}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let dir = tempfile::tempdir().unwrap();
    assert!(expect(dir.path(), 0, "--version").starts_with("lma "));
    assert!(expect(dir.path(), 0, "--help").contains("Exit codes"));
    for wanted in ["Levels -1..-9", "--fast", "--best", "-7, -8, -9 ", "- cm:", "- mix:"] {
        assert!(expect(dir.path(), 0, "create --help").contains(wanted), "{wanted}");
    }
    for command in ["create", "extract", "list", "cat", "test", "recover", "info", "mount", "models"] {
        assert!(expect(dir.path(), 0, &format!("help {command}")).contains("Usage"));
        assert!(expect(dir.path(), 0, &format!("{command} -h")).contains("Usage"));
    }
}

#[test]
fn completions_and_manual_pages_are_written() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(expect(dir.path(), 0, &format!("completions {shell}")).contains("recover"), "{shell}");
    }
    expect(dir.path(), 0, "man pages/here");
    let page = |name: &str| fs::read_to_string(dir.path().join("pages/here").join(name)).unwrap();
    for name in ["lma.1", "lma-create.1", "lma-mount.1"] {
        assert!(page(name).contains(".TH"), "{name}");
    }
    assert!(page("lma-create.1").contains("Levels, from fast to small"));
}

#[test]
fn files_that_are_no_archives_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "this is no archive, but long enough to be asked for its header").unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    for command in ["list", "info", "extract", "test", "cat"] {
        let member = if command == "cat" { " m" } else { "" };
        expect(dir.path(), 2, &format!("{command} absent.lma{member}"));
        expect(dir.path(), 2, &format!("{command} .{member}"));
        for (name, why) in [("text", "it does not begin like one"), ("empty", "it is empty")] {
            let output = run(dir.path(), &format!("{command} {name}{member}"));
            check(&output, 3, command);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(&format!("{name} is not an lma archive: {why}")), "{said}");
        }
    }
}

#[test]
fn a_forgotten_archive_name_costs_no_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious.txt"), "precious").unwrap();
    fs::write(dir.path().join("other.txt"), "other").unwrap();
    let output = run(dir.path(), "create precious.txt other.txt --codec zstd");
    check(&output, 2, "create");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an lma archive"));
    assert_eq!(fs::read_to_string(dir.path().join("precious.txt")).unwrap(), "precious");
    // An archive is replaced, and so is an empty file.
    fs::write(dir.path().join("a.lma"), "").unwrap();
    expect(dir.path(), 0, "create a.lma other.txt --codec zstd");
    expect(dir.path(), 0, "create a.lma precious.txt --codec zstd");
    assert_eq!(expect(dir.path(), 0, "list a.lma"), "precious.txt\n");
}

#[test]
fn devices_are_written_to_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "content").unwrap();
    expect(dir.path(), 0, "create /dev/null f --codec zstd");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    // Through a symbolic link the target is replaced, and the link stays.
    std::os::unix::fs::symlink("real.lma", dir.path().join("link.lma")).unwrap();
    fs::write(dir.path().join("real.lma"), "").unwrap();
    expect(dir.path(), 0, "create link.lma f --codec zstd");
    assert!(dir.path().join("link.lma").is_symlink());
    assert_eq!(expect(dir.path(), 0, "list real.lma"), "f\n");
}

#[test]
fn models_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(expect(dir.path(), 0, "models").contains("built in"));
    let line = expect(dir.path(), 0, "models --json");
    let model: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!((&model["builtin"], &model["path"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(model["sha256"].as_str().unwrap().len(), 64);

    let user_dir = dir.path().join("home/.local/share/lma/models");
    fs::create_dir_all(&user_dir).unwrap();
    fs::write(user_dir.join("mine.gguf"), "GGUF and so on").unwrap();
    assert!(expect(dir.path(), 0, "models").contains("mine"));
    fs::write(dir.path().join("text"), "no model").unwrap();
    expect(dir.path(), 4, "models --model text");
}
