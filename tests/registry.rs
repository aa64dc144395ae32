//! Models are found by digest, in the stated places and order, and nowhere else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use lma::Error;
use lma::hash::Digest;
use lma::model::{Found, Location, Registry, RegistryConfig, builtin};
use lma::predict::PredictError;
use sha2::{Digest as _, Sha256};

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Writes a file that starts like a GGUF file, and tells its digest and size.
fn plant(path: &Path, text: &str) -> (Digest, u64) {
    let bytes = [b"GGUF", text.as_bytes()].concat();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &bytes).unwrap();
    (sha256(&bytes), bytes.len() as u64)
}

fn path_of(found: Option<lma::model::Found>) -> Option<PathBuf> {
    found.map(|found| match found.location {
        Location::File(path) => path,
        Location::Builtin(_) => panic!("expected a file"),
    })
}

#[test]
fn the_embedded_models_need_no_file() {
    let registry = Registry::default();
    let found = builtin::ALL.map(|model| registry.find(model.sha256, model.size()).unwrap());
    assert_eq!(found, builtin::ALL.map(Into::into));
    assert_eq!(registry.list(), found);
    assert_eq!(registry.find(builtin::SMALL.sha256, builtin::SMALL.size() + 1), None);
    assert_eq!(registry.preferred().unwrap(), found[0]);
    assert_eq!(registry.preferred_to(&builtin::SMALL).unwrap(), found[1]);
}

#[test]
fn every_place_is_searched_and_the_earlier_one_wins() {
    let root = tempfile::tempdir().unwrap();
    let at = |rest: &str| root.path().join(rest);
    let config = RegistryConfig {
        explicit: Some(at("explicit.bin")),
        model_path: vec![at("path/a"), at("path/single")],
        user_dir: Some(at("user")),
        huggingface: vec![at("hub")],
        ollama: vec![at("ollama")],
        digest_cache: None,
    };
    let text = "weights";
    let (sha256, size) = plant(&at("elsewhere.gguf"), text);
    let places = [
        format!("ollama/blobs/sha256-{sha256}"),
        format!("hub/models--org--name/blobs/{sha256}"),
        "user/any name.GGUF".to_owned(),
        "path/single".to_owned(),
        "path/a/x.gguf".to_owned(),
        "explicit.bin".to_owned(),
    ];
    assert_eq!(Registry::new(config.clone()).find(sha256, size), None);
    for place in places {
        plant(&at(&place), text);
        let registry = Registry::new(config.clone());
        assert_eq!(path_of(registry.find(sha256, size)), Some(at(&place)));
        assert_eq!(registry.find(sha256, size + 1), None);
        let listed = registry.list();
        assert_eq!(listed.len(), builtin::ALL.len() + 1, "each digest once: {listed:?}");
        assert_eq!(listed[builtin::ALL.len()].sha256, sha256);
    }
    assert_eq!(Registry::new(config.clone()).preferred().unwrap().sha256, sha256);
}

#[test]
fn a_name_that_lies_about_its_digest_is_not_found() {
    let root = tempfile::tempdir().unwrap();
    let claimed = sha256(b"GGUFwanted");
    for blob in [format!("hub/models--a--b/blobs/{claimed}"), format!("ollama/blobs/sha256-{claimed}")] {
        plant(&root.path().join(blob), "forged");
    }
    let registry = Registry::new(RegistryConfig {
        huggingface: vec![root.path().join("hub")],
        ollama: vec![root.path().join("ollama")],
        ..RegistryConfig::default()
    });
    assert_eq!(registry.find(claimed, 10), None);
}

#[test]
fn files_that_are_no_models_are_refused_with_the_reason() {
    let root = tempfile::tempdir().unwrap();
    let text = root.path().join("notes.txt");
    fs::write(&text, "plain").unwrap();
    let registry = Registry::default();
    let refused = |path: &Path| registry.explicit(path).unwrap_err();
    assert!(matches!(refused(&text), Error::Predict(PredictError::Unusable { .. })));
    assert!(matches!(refused(root.path()), Error::Predict(PredictError::Unusable { .. })));
    let said = refused(&root.path().join("absent")).to_string();
    assert!(said.contains("no such file") && said.contains("lma models"), "{said}");
    assert!(matches!(refused(&text.join("below a file")), Error::Io { .. }));
}

#[test]
fn models_are_given_by_their_names_too() {
    let root = tempfile::tempdir().unwrap();
    let at = |rest: &str| root.path().join(rest);
    let registry = Registry::new(RegistryConfig {
        model_path: vec![at("a"), at("b")],
        huggingface: vec![at("hub")],
        ..RegistryConfig::default()
    });
    plant(&at("a/one.gguf"), "1");
    plant(&at("a/two.gguf"), "2");
    plant(&at("b/two.gguf"), "3");
    let blob = at(&format!("hub/models--org--three/blobs/{}", "0".repeat(64)));
    plant(&blob, "4");
    // Of the same repository: what is no model does not make its name ambiguous.
    fs::write(blob.with_file_name("1".repeat(64)), "{}").unwrap();
    let given = |name: &str| registry.explicit(Path::new(name));
    assert_eq!(given(builtin::SMALL.name).unwrap(), (&builtin::SMALL).into());
    assert_eq!(path_of(given("one").ok()), Some(at("a/one.gguf")));
    assert_eq!(given("org/three").unwrap().sha256, sha256(b"GGUF4"));
    let said = given("two").unwrap_err().to_string();
    assert!(["a/two.gguf", "b/two.gguf"].iter().all(|path| said.contains(path)), "{said}");
    assert!(given("one.gguf").is_err(), "of a file there is all of its path");
}

#[test]
fn names_are_for_people() {
    let root = tempfile::tempdir().unwrap();
    let name = |rest: &str| {
        plant(&root.path().join(rest), rest);
        Registry::default().explicit(&root.path().join(rest)).unwrap().name()
    };
    assert_eq!(name("models/tiny-q8.gguf"), "tiny-q8");
    assert_eq!(name(&format!("hub/models--org--repo/blobs/{}", "0".repeat(64))), "org/repo");
    assert_eq!(name(&format!("blobs/sha256-{}", "0".repeat(64))), "ollama blob");
    builtin::ALL.into_iter().for_each(|model| assert_eq!(Found::from(model).name(), model.name));
}

#[test]
fn the_environment_names_the_places() {
    let vars: HashMap<&str, &str> = HashMap::from([
        ("HOME", "/home/u"),
        ("LMA_MODEL_PATH", "/m/a:/m/b"),
        ("HF_HOME", "/hf"),
        ("HF_HUB_CACHE", "/hub"),
        ("OLLAMA_MODELS", "/ollama"),
        ("XDG_DATA_HOME", "relative/is/ignored"),
        ("XDG_CACHE_HOME", ""),
    ]);
    let config = RegistryConfig::from_env(|name| vars.get(name).map(OsString::from));
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(
        config,
        RegistryConfig {
            explicit: None,
            model_path: paths(&["/m/a", "/m/b"]),
            user_dir: Some("/home/u/.local/share/lma/models".into()),
            huggingface: paths(&["/hub", "/hf/hub", "/home/u/.cache/huggingface/hub"]),
            ollama: paths(&["/ollama", "/home/u/.ollama/models", "/usr/share/ollama/.ollama/models"]),
            digest_cache: Some("/home/u/.cache/lma/digests.json".into()),
        }
    );
    let hint = Registry::new(config).missing_hint();
    for part in ["--model", "/home/u/.local/share/lma/models", "LMA_MODEL_PATH"] {
        assert!(hint.contains(part), "{hint}");
    }
}
