//! The layer table of `src/lib.rs`, held against what the sources really use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files may have this many lines.
const MOST_LINES: usize = 600;

/// What each top-level module may use of the crate, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("hash", &[]),
    ("progress", &[]),
    ("escape", &[]),
    ("limits", LINKS_ONLY),
    // The crate's error unites those of the layers below `archive`.
    ("error", &["codec", "container", "format", "predict"]),
    ("entropy", BASE),
    ("format", BASE),
    ("predict", &["error", "limits", "wire", "hash", "progress", "entropy", "format"]),
    ("codec", &["error", "limits", "wire", "hash", "progress", "entropy", "format", "predict"]),
    ("exact", BASE),
    ("model", &["error", "limits", "wire", "hash", "progress", "entropy", "format", "predict", "exact"]),
    ("container", &["error", "limits", "wire", "hash", "progress", "entropy", "format", "predict", "codec"]),
    ("cache", &["error", "limits", "wire", "hash", "progress", "format", "predict", "codec", "container"]),
    (
        "archive",
        &["error", "limits", "wire", "hash", "progress", "escape", "format", "predict", "codec", "container", "cache"],
    ),
    ("mount", &["error", "limits", "wire", "hash", "progress", "format", "predict", "codec", "container", "cache"]),
    (
        "cli",
        &[
            "error",
            "limits",
            "wire",
            "hash",
            "progress",
            "escape",
            "entropy",
            "format",
            "predict",
            "codec",
            "container",
            "model",
            "cache",
            "archive",
            "mount",
        ],
    ),
];

/// The base layer, for modules directly above it.
const BASE: &[&str] = &["error", "limits", "wire", "hash", "progress"];

/// `limits` names an error in its documentation.
const LINKS_ONLY: &[&str] = &["format"];

/// Names that only some files may mention, as the start of their path.
const FENCES: &[(&str, &[&str])] = &[
    ("llama_cpp_sys_2", &["model/engine.rs", "model/engine/"]),
    ("fuser::", &["mount/fuse.rs"]),
    ("indicatif", &["cli/"]),
    ("clap::", &["cli/"]),
];

/// The files that may hold `unsafe` code, each with `#![allow(unsafe_code)]` and its reasons.
const UNSAFE: &[&str] =
    &["exact/", "model/engine.rs", "model/engine/", "predict/quantize/x86.rs", "codec/mix/x86.rs", "codec/mix/x86/"];

struct Source {
    /// Relative to `src`, with `/`.
    path: String,
    text: String,
    /// Without comments, and without what follows the first `#[cfg(test)]` module.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().map(|file| file.unwrap().into_path());
    let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<Source> = rust.map(|path| read(&root, &path)).collect();
    assert!(sources.len() > 30, "the sources are found");
    sources
}

fn read(root: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let product = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let code = product.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    Source { path, text, code }
}

/// The top-level module of a file, `None` for the crate's root and the binary.
fn module(path: &str) -> Option<&str> {
    let first = path.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&module)).then_some(module)
}

/// The top-level modules that some code names as `crate::x`, alone or as `crate::{x, y::z}`.
fn used(code: &str) -> Vec<String> {
    let identifier = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => modules.push(identifier(rest)),
            Some(list) => modules.extend(top_level(list).into_iter().map(|item| identifier(item.trim()))),
        }
    }
    // What starts with a capital letter is re-exported by the root: the crate's error.
    modules.retain(|module| module.starts_with(|c: char| c.is_ascii_lowercase()));
    modules
}

/// The items of a braced list, of which only the text behind the opening brace is given.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[test]
fn modules_use_only_what_is_below_them() {
    let may_use: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(module) = module(&source.path) else { continue };
        let allowed = may_use.get(module).unwrap_or_else(|| panic!("src/{}: add {module} to the table", source.path));
        // The crate's `Error` and `Result`, and macros defined in the root, are not modules.
        let used = used(&source.code).into_iter().filter(|name| may_use.contains_key(&name[..]) && name != module);
        wrong.extend(
            used.filter(|name| !allowed.contains(&&name[..])).map(|name| format!("src/{} uses {name}", source.path)),
        );
    }
    assert!(wrong.is_empty(), "not downwards:\n{}", wrong.join("\n"));
}

#[test]
fn engines_and_unsafe_code_are_fenced() {
    let inside = |path: &str, fence: &[&str]| {
        fence.iter().any(|allowed| path == *allowed || (allowed.ends_with('/') && path.starts_with(allowed)))
    };
    let mut wrong = Vec::new();
    for Source { path, code, .. } in sources() {
        for (name, fence) in FENCES {
            if code.contains(name) && !inside(&path, fence) {
                wrong.push(format!("src/{path} names {name}"));
            }
        }
        let unsafe_words = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|&word| word == "unsafe");
        if (unsafe_words.count() > 0 || code.contains("allow(unsafe_code)")) && !inside(&path, UNSAFE) {
            wrong.push(format!("src/{path} holds unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "outside their fences:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().map(|source| (source.text.lines().count(), source.path));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > MOST_LINES).collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

#[test]
fn uses_are_recognised() {
    let code =
        "use crate::format::{A, B}; use crate::{hash::Digest, wire::{x, y}, Error};\nxcrate::no; crate::codec::f()";
    assert_eq!(used(code), ["format", "hash", "wire", "codec"]);
}
