//! What a prototype of the mix reached before the product's was built.

/// One file of the prototype's table: bits per byte in blocks of 64 KiB.
pub(crate) struct Reference {
    pub(crate) file: &'static str,
    /// zpaq -m5 on the prototype's blocks.
    pub(crate) zpaq: f64,
    /// Context models alone.
    pub(crate) cm: f64,
    /// Language and context models mixed.
    pub(crate) mix: f64,
}

const fn row(file: &'static str, zpaq: f64, cm: f64, mix: f64) -> Reference {
    Reference { file, zpaq, cm, mix }
}

/// The prototype: float arithmetic, ideal sums (-log2 p, no coder, no container), a model of 6.6 M parameters trained
/// on 10.8 M tokens, each block from nothing. It measured whole blocks of 64 KiB, a few of each file, and which ones
/// was not kept: on some files (xml, ooffice, zlib.tar) they were easier or harder than the first 256 KiB. zpaq saw the
/// same blocks, so its sizes here and there tell by how much.
pub(crate) const PROTOTYPE: [Reference; 13] = [
    row("canterbury/alice29.txt", 2.132, 2.046, 1.641),
    row("canterbury/lcet10.txt", 2.059, 1.954, 1.585),
    row("calgary/book1", 2.568, 2.490, 1.898),
    row("silesia/dickens", 2.361, 2.289, 1.804),
    row("enwik/enwik6", 2.291, 2.153, 1.754),
    row("multilang/deu-freytag.txt", 2.387, 2.314, 2.384),
    row("tree/zlib.tar", 1.374, 1.333, 1.312),
    row("tree/json.tar", 1.531, 1.404, 1.001),
    row("json/twitter.json", 0.721, 0.547, 0.505),
    row("silesia/xml", 0.460, 0.364, 0.354),
    row("loghub/Hadoop_2k.log", 0.378, 0.308, 0.271),
    row("csv/birdstrikes.csv", 0.572, 0.494, 0.474),
    row("silesia/ooffice", 2.711, 2.967, 2.946),
];
