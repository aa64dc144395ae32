//! `lma cache`.

use serde_json::json;

use super::args::Cache;
use super::context::Context;
use super::{disk, json, units};
use crate::cache::{DEFAULT_BUDGET, DiskCache, Usage};
use crate::{Error, Result, escape};

/// Shows what is kept on disk of archives that were read, or removes it.
///
/// # Errors
/// Where there is no directory for it, or it cannot be used; I/O.
pub(super) fn run(args: &Cache, context: &Context) -> Result<()> {
    let dir = disk::directory().ok_or_else(|| Error::Refused("there is no cache directory: set HOME".into()))?;
    let cache = DiskCache::open(&dir, DEFAULT_BUDGET).map_err(Error::io("opening the disk cache in", &dir))?;
    let usage = if args.clear { cache.clear() } else { cache.usage() };
    let usage = usage.map_err(Error::io("reading", cache.path()))?;
    let text = match (args.json, args.clear) {
        (true, _) => as_json(&cache, &usage),
        (false, true) => {
            format!("removed {} of {}\n", sum(&usage), units::count(usage.archives.len() as u64, "archive"))
        }
        (false, false) => as_text(&cache, &usage),
    };
    context.stdout.print(|out| out.write_all(text.as_bytes()))
}

fn sum(usage: &Usage) -> String {
    format!("{} in {}", units::bytes(usage.bytes()), units::count(usage.chunks(), "chunk"))
}

fn as_text(cache: &DiskCache, usage: &Usage) -> String {
    let path = cache.path().display().to_string();
    let mut text = format!("directory: {}\n", escape::message(&path));
    text += &format!("kept: {}, of {} at most\n", sum(usage), units::bytes(cache.budget()));
    for archive in &usage.archives {
        let (bytes, chunks) = (units::bytes(archive.bytes), units::count(archive.chunks, "chunk"));
        text += &format!("{}  {bytes:>8}  {}  {chunks}\n", archive.id, units::utc(archive.used));
    }
    text
}

fn as_json(cache: &DiskCache, usage: &Usage) -> String {
    use std::os::unix::ffi::OsStrExt;
    let archives = usage.archives.iter().map(|archive| {
        json!({ "id": archive.id.to_string(), "chunks": archive.chunks, "bytes": archive.bytes, "used": archive.used })
    });
    let mut object = json::Object::new();
    json::text(&mut object, "directory", cache.path().as_os_str().as_bytes());
    object.insert("budget".into(), cache.budget().into());
    object.insert("chunks".into(), usage.chunks().into());
    object.insert("bytes".into(), usage.bytes().into());
    object.insert("archives".into(), archives.collect());
    format!("{}\n", serde_json::Value::Object(object))
}
