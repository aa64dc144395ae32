//! Which files share chunks: files of one kind stand together, so that each is context for the next.

use std::ffi::OsStr;

/// Kinds of content, in the order in which they stand in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// Natural language.
    Prose,
    /// Text with tags.
    Markup,
    /// Programs.
    Code,
    /// Structured text: tables, configuration, logs.
    Data,
    /// Nothing is known from the name.
    Unknown,
    /// Machine code, databases, raw samples.
    Binary,
    /// Compressed already.
    Dense,
}

const PROSE: &[&str] =
    &["adoc", "asc", "markdown", "md", "mdx", "org", "po", "pot", "pod", "rst", "srt", "textile", "txt", "vtt"];
const MARKUP: &[&str] = &[
    "atom",
    "bib",
    "css",
    "dita",
    "docbook",
    "fb2",
    "htm",
    "html",
    "less",
    "man",
    "mediawiki",
    "ps",
    "qml",
    "rss",
    "sass",
    "scss",
    "sgml",
    "svg",
    "tei",
    "tex",
    "texi",
    "texinfo",
    "ui",
    "wiki",
    "xhtml",
    "xml",
    "xsd",
    "xsl",
    "xslt",
];
const CODE: &[&str] = &[
    "ada", "asm", "awk", "bash", "bat", "bzl", "c", "cc", "cl", "clj", "cmake", "coffee", "cpp", "cs", "cu", "cxx",
    "d", "dart", "el", "elm", "erl", "ex", "exs", "f", "f90", "fish", "fs", "glsl", "go", "gradle", "groovy", "h",
    "hh", "hpp", "hs", "hxx", "java", "jl", "js", "jsx", "kt", "lisp", "lua", "m", "m4", "mjs", "ml", "mli", "mm",
    "nim", "nix", "pas", "php", "pl", "pm", "proto", "ps1", "py", "pyi", "pyx", "r", "rb", "rs", "s", "scala", "scm",
    "sh", "sol", "sql", "st", "sv", "swift", "tcl", "thrift", "ts", "tsx", "v", "vala", "vb", "vhd", "vhdl", "vim",
    "vue", "wat", "wgsl", "y", "zig", "zsh",
];
const DATA: &[&str] = &[
    "ass",
    "cfg",
    "cnf",
    "conf",
    "csv",
    "desktop",
    "diff",
    "eml",
    "env",
    "geojson",
    "gpx",
    "ics",
    "ini",
    "ipynb",
    "json",
    "json5",
    "jsonl",
    "kml",
    "ldif",
    "lock",
    "log",
    "mbox",
    "ndjson",
    "obj",
    "patch",
    "pem",
    "plist",
    "properties",
    "service",
    "spec",
    "stl",
    "toml",
    "tsv",
    "vcf",
    "yaml",
    "yml",
];
const BINARY: &[&str] = &[
    "a",
    "bin",
    "bmp",
    "class",
    "dat",
    "db",
    "dll",
    "doc",
    "dylib",
    "elc",
    "exe",
    "fits",
    "img",
    "iso",
    "ko",
    "lib",
    "mo",
    "npy",
    "o",
    "otf",
    "pdb",
    "pgm",
    "pnm",
    "ppm",
    "ppt",
    "psd",
    "pyc",
    "raw",
    "rlib",
    "rmeta",
    "safetensors",
    "so",
    "sqlite",
    "sqlite3",
    "tar",
    "tga",
    "tif",
    "tiff",
    "ttf",
    "wasm",
    "wav",
    "xls",
];
const DENSE: &[&str] = &[
    "7z", "aac", "apk", "avi", "avif", "br", "bz2", "crate", "deb", "docx", "dwarfs", "epub", "flac", "gif", "gguf",
    "gz", "heic", "jar", "jpeg", "jpg", "jxl", "lma", "lz4", "lzma", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "mpeg",
    "mpg", "odp", "ods", "odt", "ogg", "opus", "pdf", "png", "pptx", "rar", "rpm", "squashfs", "svgz", "tbz2", "tgz",
    "txz", "webm", "webp", "whl", "wma", "wmv", "woff", "woff2", "xlsx", "xz", "zip", "zst",
];
const PROSE_NAMES: &[&str] = &[
    "authors",
    "changelog",
    "changes",
    "contributing",
    "contributors",
    "copying",
    "copyright",
    "credits",
    "history",
    "install",
    "licence",
    "license",
    "news",
    "notice",
    "readme",
    "thanks",
    "todo",
];
const CODE_NAMES: &[&str] =
    &["build", "dockerfile", "gemfile", "gnumakefile", "jenkinsfile", "kconfig", "makefile", "rakefile"];

/// What a file's path tells of its content.
pub(super) fn class(path: &[u8]) -> Class {
    let name = super::tree::split(path).1.to_ascii_lowercase();
    let Ok(name) = std::str::from_utf8(&name) else { return Class::Unknown };
    let stem = name.split(['.', '-']).next().unwrap_or(name);
    let by_name = if PROSE_NAMES.contains(&stem) {
        Class::Prose
    } else if CODE_NAMES.contains(&stem) {
        Class::Code
    } else {
        Class::Unknown
    };
    let extension = std::path::Path::new(OsStr::new(name)).extension().and_then(OsStr::to_str).unwrap_or("");
    let tables = [
        (PROSE, Class::Prose),
        (MARKUP, Class::Markup),
        (CODE, Class::Code),
        (DATA, Class::Data),
        (BINARY, Class::Binary),
        (DENSE, Class::Dense),
    ];
    tables.iter().find(|(table, _)| table.contains(&extension)).map_or(by_name, |&(_, class)| class)
}

/// What files are ordered by: class, extension, path. Borrows from the path as far as it can.
pub(super) fn order(path: &[u8]) -> (Class, Vec<u8>, &[u8]) {
    let name = super::tree::split(path).1;
    let extension = match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 => name[dot + 1..].to_ascii_lowercase(),
        _ => Vec::new(),
    };
    (class(path), extension, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_extension_then_name() {
        assert_eq!(class(b"a/b/main.RS"), Class::Code);
        assert_eq!(class(b"README"), Class::Prose);
        assert_eq!(class(b"LICENSE-MIT"), Class::Prose);
        assert_eq!(class(b"Makefile"), Class::Code);
        assert_eq!(class(b"readme.html"), Class::Markup);
        assert_eq!(class(b"x.d/archive.tar.gz"), Class::Dense);
        assert_eq!(class(b"noidea"), Class::Unknown);
        assert_eq!(class(b"\xff\xfe.txt"), Class::Unknown);
    }

    #[test]
    fn files_of_one_kind_stand_together() {
        let mut paths: Vec<&[u8]> = vec![b"z.rs", b"b.png", b"a.md", b"a.py", b"c.rs", b"b.py"];
        paths.sort_by_cached_key(|path| order(path));
        assert_eq!(paths, [&b"a.md"[..], b"a.py", b"b.py", b"c.rs", b"z.rs", b"b.png"]);
    }
}
