//! Archives that need a model: the embedded one, on inputs of a few hundred bytes.

use std::fs;
use std::path::Path;

use crate::support::{check, expect, feed, run};

const TEXT: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the \
    age of foolishness, it was the epoch of belief, it was the epoch of incredulity.\n";

fn planted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    fs::write(dir.path().join("t/text"), TEXT).unwrap();
    fs::write(
        dir.path().join("t/data.json"),
        "{\"name\": \"value\", \"list\": [1, 2, 3], \"nested\": {\"a\": null}}\n",
    )
    .unwrap();
    dir
}

fn info(dir: &Path, archive: &str) -> serde_json::Value {
    serde_json::from_str(&expect(dir, 0, &format!("info --json {archive}"))).unwrap()
}

fn codecs(info: &serde_json::Value) -> Vec<&str> {
    info["codecs"].as_array().unwrap().iter().map(|codec| codec["codec"].as_str().unwrap()).collect()
}

#[test]
fn the_default_model_makes_archives_that_come_back() {
    let dir = planted();
    // So little text does not win the record of a model back.
    expect(dir.path(), 0, "create short.lma t");
    assert_eq!(info(dir.path(), "short.lma")["models"], serde_json::json!([]));
    fs::write(dir.path().join("t/long"), include_str!("../../README.md")).unwrap();
    expect(dir.path(), 0, "create a.lma t");
    let info = info(dir.path(), "a.lma");
    assert_eq!(info["models"][0]["builtin"], true);
    assert_eq!(info["model_adjusted_len"], info["archive_len"]);
    assert!(codecs(&info).contains(&"mix"), "{info}");
    assert!(expect(dir.path(), 0, "test a.lma").starts_with("good: "));
    assert_eq!(expect(dir.path(), 0, "cat a.lma t/text"), TEXT);
    expect(dir.path(), 0, "extract a.lma -C out --no-cache");
    assert_eq!(fs::read_to_string(dir.path().join("out/t/text")).unwrap(), TEXT);
}

#[test]
fn levels_and_names_choose_among_the_built_in_models() {
    let dir = planted();
    let models = expect(dir.path(), 0, "models --json");
    let [large, small]: [serde_json::Value; 2] =
        models.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().try_into().unwrap();
    assert!(small["size"].as_u64() < large["size"].as_u64());
    let by_name = format!("-9 --model {}", small["name"].as_str().unwrap());
    for (options, model) in
        [("-q", &large), ("-7", &large), ("-5", &small), ("--fast", &small), ("-4 -6", &large), (&by_name, &small)]
    {
        expect(dir.path(), 0, &format!("create a.lma t/text --codec mix {options}"));
        let info = info(dir.path(), "a.lma");
        assert_eq!(info["models"][0]["sha256"], model["sha256"], "{options}");
        assert_eq!(info["model_adjusted_len"], info["archive_len"], "{options}");
        assert_eq!(expect(dir.path(), 0, "cat --no-cache a.lma t/text"), TEXT);
    }
    // A file of that name is meant before the model.
    fs::write(dir.path().join(small["name"].as_str().unwrap()), "no model").unwrap();
    expect(dir.path(), 4, &format!("create a.lma t/text {by_name}"));
}

#[test]
fn the_model_beats_zstd_on_text() {
    let dir = planted();
    expect(dir.path(), 0, "create lm.lma t/text --codec lm");
    expect(dir.path(), 0, "create zstd.lma t/text --codec zstd");
    let stored = |archive: &str| info(dir.path(), archive)["codecs"][0]["stored"].as_u64().unwrap();
    assert!(stored("lm.lma") * 2 < stored("zstd.lma"), "{} {}", stored("lm.lma"), stored("zstd.lma"));
}

#[test]
fn codecs_are_named_and_come_back() {
    let dir = planted();
    for (codec, models) in [("cm", 0), ("lm", 1), ("mix", 1)] {
        expect(dir.path(), 0, &format!("create a.lma t/text --codec {codec} -9"));
        let info = info(dir.path(), "a.lma");
        assert_eq!((codecs(&info), info["models"].as_array().unwrap().len()), (vec![codec], models));
        assert!(expect(dir.path(), 0, "info a.lma").contains(&format!("codec {codec} ")));
        assert_eq!(expect(dir.path(), 0, "cat a.lma t/text"), TEXT);
    }
}

#[test]
fn low_levels_take_no_model() {
    let dir = planted();
    for level in ["-1", "-2", "-3", "--fast -3", "-9 -3"] {
        expect(dir.path(), 0, &format!("create a.lma t {level}"));
        assert_eq!(info(dir.path(), "a.lma")["models"], serde_json::json!([]), "{level}");
    }
}

#[test]
fn threads_and_streams_do_not_change_a_byte() {
    let dir = planted();
    let create = |options: &str| {
        let line = format!("create - t --chunk-size 1K {options}");
        let output = run(dir.path(), &line);
        check(&output, 0, &line);
        output.stdout
    };
    let one = create("--threads 1 --streams 4");
    assert!(one == create("--threads 2 --streams 32"));
    feed(dir.path(), 0, "extract - -C out --threads 1 --streams 2", &one);
    assert_eq!(fs::read_to_string(dir.path().join("out/t/text")).unwrap(), TEXT);
}

#[test]
fn a_file_that_is_no_model_is_refused_with_4() {
    let dir = planted();
    fs::write(dir.path().join("m.gguf"), "no model").unwrap();
    expect(dir.path(), 4, "create a.lma t --model m.gguf");
    fs::write(dir.path().join("m.gguf"), "GGUF that ends too early").unwrap();
    expect(dir.path(), 4, "create a.lma t --model m.gguf");
    assert!(!dir.path().join("a.lma").exists());
    // Other codecs never look at a model.
    expect(dir.path(), 0, "create a.lma t --codec zstd");
    expect(dir.path(), 0, "test a.lma --model absent.gguf");
}

#[test]
fn an_archive_of_an_absent_model_says_which_and_every_place_is_searched() {
    let dir = planted();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.gguf");
    let create = format!("create a.lma t --codec lm --model {}", tiny.display());
    expect(dir.path(), 0, &create);
    let model = &info(dir.path(), "a.lma")["models"][0];
    let sha256 = model["sha256"].as_str().unwrap();
    assert_eq!((&model["builtin"], model["size"].as_u64()), (&false.into(), Some(fs::metadata(&tiny).unwrap().len())));

    for line in ["test a.lma", "extract a.lma -C out", "cat a.lma t/text"] {
        let output = run(dir.path(), line);
        check(&output, 4, line);
        let said = String::from_utf8_lossy(&output.stderr);
        for part in [sha256, model["name"].as_str().unwrap(), "LMA_MODEL_PATH", "--model"] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }
    for (given, why) in [("absent.gguf", "no such file"), ("t/text", "not a GGUF file"), ("lma-1m-q5_0", "another one")]
    {
        let output = run(dir.path(), &format!("test a.lma --model {given}"));
        check(&output, 4, given);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(given) && said.contains(why) && said.contains("LMA_MODEL_PATH"), "{said}");
    }
    // What needs no model still works.
    expect(dir.path(), 0, "list -l a.lma");
    expect(dir.path(), 0, &format!("test a.lma --model {}", tiny.display()));
    for place in [
        "home/.local/share/lma/models/any.gguf".to_owned(),
        format!("home/.cache/huggingface/hub/models--o--n/blobs/{sha256}"),
        format!("home/.ollama/models/blobs/sha256-{sha256}"),
    ] {
        let place = dir.path().join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&tiny, &place).unwrap();
        assert_eq!(expect(dir.path(), 0, "cat a.lma t/text --no-cache"), TEXT, "{place:?}");
        fs::remove_file(&place).unwrap();
        expect(dir.path(), 4, "cat a.lma t/text --no-cache");
    }
}

#[test]
fn numerics_are_exact_unless_asked_otherwise_and_the_archive_says_so() {
    let dir = planted();
    expect(dir.path(), 0, "create exact.lma t/text --codec lm");
    expect(dir.path(), 0, "create native.lma t/text --codec lm --numerics native");
    let numerics = |archive: &str| info(dir.path(), archive)["models"][0]["numerics"].as_str().unwrap().to_owned();
    assert_eq!(numerics("exact.lma"), "exact-1");
    assert!(numerics("native.lma").starts_with("native-cpu/"));
    for archive in ["exact.lma", "native.lma"] {
        assert_eq!(expect(dir.path(), 0, &format!("cat {archive} t/text")), TEXT);
    }
}
