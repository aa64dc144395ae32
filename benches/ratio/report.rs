//! The tables.

use super::common::classes::Class;
use super::common::peers::PEERS;
use super::common::{size_name, table};
use super::files::TABLE;
use super::measures::{Measure, Measured, Measures};
use super::ours::OURS;

/// Files that have a mean together.
struct Group<'a> {
    name: String,
    files: Vec<&'a Measured>,
}

impl Group<'_> {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.raw).sum()
    }
}

/// Sizes by class and by file, and speeds. `alone`: speeds by file, too.
pub(crate) fn report(head: &str, measures: &Measures, alone: bool) -> String {
    let columns = columns(measures);
    let groups = groups(measures.files());
    let mut out = format!("# Sizes and speeds\n\n{head}\n{}.\n\n", measures.versions().join(", "));
    let (count, bytes) = (measures.files().len(), measures.files().iter().map(|file| file.raw).sum::<u64>());
    let cut = measures.files().iter().filter(|file| file.cut).count();
    out += &format!("{count} files, {bytes} bytes together; {cut} of them are the beginnings of longer files.\n");
    out += "Bits per byte; the smallest is bold. Every block is coded by itself.\n";
    out += "Ours: whole archives with names, digests and index; the others: bare streams.\n";
    out += "\n## Means of the files\n";
    for group in &groups {
        out += &format!("\n### {}: {} files, {} bytes\n\n", group.name, group.files.len(), group.bytes());
        out += &table(&filled(means(measures, &columns, group)));
    }
    out += "\n## Files\n";
    for block in measures.blocks() {
        out += &format!("\n### {}\n\n{}", block_name(block), table(&filled(of_files(measures, &columns, block))));
    }
    out += "\n## Speeds\n\nKB of the file per second of one core's time, to encode / to decode.\n";
    out += "The others' include the start of a process for each block, are known to a hundredth of a second for each\n";
    out += "file (-: less), and may have been measured earlier.\n";
    for block in measures.blocks() {
        out += &format!(
            "\n### {}\n\n{}",
            block_name(block),
            table(&filled(speeds(measures, &columns, &groups, block, alone)))
        );
    }
    out
}

/// Compressors with any result: ours, then the others.
fn columns(measures: &Measures) -> Vec<&'static str> {
    let names = OURS.iter().map(|ours| ours.name).chain(PEERS.iter().map(|peer| peer.name));
    // Codecs that another version had measured are left out of the tables.
    names.filter(|name| measures.has(name)).collect()
}

/// All files, those of the quick table if there are others, and each class.
fn groups(files: &[Measured]) -> Vec<Group<'_>> {
    let group = |name: &str, wanted: &dyn Fn(&Measured) -> bool| Group {
        name: name.to_owned(),
        files: files.iter().filter(|file| wanted(file)).collect(),
    };
    let mut groups = vec![group("all", &|_| true)];
    let quick = group("quick table", &|file| TABLE.contains(&file.name.as_str()));
    if quick.files.len() == TABLE.len() && files.len() > TABLE.len() {
        groups.push(quick);
    }
    groups.extend(Class::ALL.iter().map(|&class| group(class.name(), &|file| file.class == class)));
    groups.retain(|group| !group.files.is_empty());
    groups
}

fn block_name(block: Option<usize>) -> String {
    block.map_or("whole files".into(), size_name)
}

fn header(first: &str, columns: &[&str]) -> Vec<String> {
    std::iter::once(&first).chain(columns).map(|&cell| cell.to_owned()).collect()
}

/// Numbers as cells, the least bold.
fn cells(first: String, values: &[Option<f64>]) -> Vec<String> {
    let least = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let cell = |value: &Option<f64>| match *value {
        None => "-".to_owned(),
        Some(value) if value <= least => format!("**{value:.3}**"),
        Some(value) => format!("{value:.3}"),
    };
    std::iter::once(first).chain(values.iter().map(cell)).collect()
}

/// Without the columns that hold nothing: media's formats have no blocks.
fn filled(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let empty = |cell: &str| cell == "-" || cell == "- / -";
    let width = rows.first().map_or(0, Vec::len);
    let kept: Vec<bool> = (0..width).map(|at| at == 0 || rows.iter().skip(1).any(|row| !empty(&row[at]))).collect();
    let keep = |row: Vec<String>| row.into_iter().zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell).collect();
    rows.into_iter().map(keep).collect()
}

/// A row for each size of blocks.
fn means(measures: &Measures, columns: &[&str], group: &Group<'_>) -> Vec<Vec<String>> {
    let mut rows = vec![header("blocks", columns)];
    for block in measures.blocks() {
        let names = || group.files.iter().map(|file| file.name.as_str());
        let values: Vec<_> = columns.iter().map(|column| measures.mean(column, block, names())).collect();
        rows.push(cells(block_name(block), &values));
    }
    rows
}

/// A row for each file, with what codecs its chunks got when we chose.
fn of_files(measures: &Measures, columns: &[&str], block: Option<usize>) -> Vec<Vec<String>> {
    let chosen = |file: &Measured| measures.get(OURS[0].name, block, &file.name);
    let with_chunks = measures.files().iter().any(|file| chosen(file).is_some());
    let mut first = header("file", columns);
    first.extend(with_chunks.then(|| format!("chunks of {}", OURS[0].name)));
    let mut rows = vec![first];
    for file in measures.files() {
        let values: Vec<_> = columns.iter().map(|column| measures.bits(column, block, &file.name)).collect();
        let mut row = cells(file.name.clone(), &values);
        row.extend(with_chunks.then(|| chosen(file).map_or("-".into(), chunks)));
        rows.push(row);
    }
    rows
}

/// `3 lm, 1 zstd`.
fn chunks(measure: &Measure) -> String {
    let each: Vec<String> = measure.chunks.iter().map(|(codec, count)| format!("{count} {codec}")).collect();
    each.join(", ")
}

/// A row for each group of files, and for each file where that is wanted.
fn speeds(
    measures: &Measures,
    columns: &[&str],
    groups: &[Group<'_>],
    block: Option<usize>,
    alone: bool,
) -> Vec<Vec<String>> {
    let row = |name: &str, files: &[&Measured]| {
        let rate = |time: &dyn Fn(&Measure) -> Option<f64>, column: &str| {
            let times = files.iter().map(|file| measures.get(column, block, &file.name).and_then(time));
            let seconds = times.sum::<Option<f64>>().filter(|&seconds| seconds > 0.0);
            let raw = files.iter().map(|file| file.raw).sum::<u64>() as f64;
            seconds.map_or("-".into(), |seconds| rate_name(raw / 1000.0 / seconds))
        };
        let cell = |column: &&str| format!("{} / {}", rate(&|m| m.encode, column), rate(&|m| m.decode, column));
        std::iter::once(name.to_owned()).chain(columns.iter().map(cell)).collect()
    };
    let mut rows = vec![header("files", columns)];
    rows.extend(groups.iter().map(|group| row(&group.name, &group.files)));
    if alone {
        rows.extend(measures.files().iter().map(|file| row(&file.name, &[file])));
    }
    rows
}

/// Three digits or more.
fn rate_name(rate: f64) -> String {
    match rate {
        _ if rate < 10.0 => format!("{rate:.2}"),
        _ if rate < 100.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}
