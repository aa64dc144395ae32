"""Converts pictures and sounds in downloaded packages to uncompressed files (see media.sh)."""

import io
import pathlib
import sys
import tarfile
import zipfile

import numpy as np
import soundfile
from PIL import Image

# Result, archive, members, what is done, source and licence.
IMAGES = [
    ("astronaut.ppm", "scikit_image", "skimage/data/astronaut.png", {}, "NASA, public domain"),
    ("coffee.bmp", "scikit_image", "skimage/data/coffee.png", {}, "Rachel Michetti, CC0"),
    ("chelsea.tga", "scikit_image", "skimage/data/chelsea.png", {}, "Stefan van der Walt, CC0"),
    ("hubble.tif", "scikit_image", "skimage/data/hubble_deep_field.jpg", {"box": (100, 100, 800, 600)}, "NASA, public domain"),
    ("retina.pgm", "scikit_image", "skimage/data/retina.jpg", {"mode": "L", "box": (300, 300, 1100, 1000)}, "Mikael Haggstrom, public domain"),
    ("cell.pgm", "scikit_image", "skimage/data/cell.png", {}, "as scikit-image states"),
    ("china.bmp", "scikit_learn", "sklearn/datasets/images/china.jpg", {}, "danielbuechele, CC BY 2.0"),
    ("logo.tga", "scikit_image", "skimage/data/logo.png", {"mode": "RGBA"}, "scikit-image, BSD 3-Clause; synthetic"),
    ("screen.bmp", "pygame", "pygame/docs/generated/_images/introduction-Battleship.png", {"mode": "RGB"}, "pygame, LGPL 2.1; a game's screen"),
]
MUSIC = "arcade/resources/assets/music/"
SOUNDS = "arcade/resources/assets/sounds/"
SPEECH = "test/data/librivox/sense_and_sensibility_01_austen_64kb-%s.wav"
AUDIO = [
    ("1918.wav", "arcade", [MUSIC + "1918.mp3"], {"start": 60, "stop": 70}, "arcade, MIT; music, stereo, 44.1 kHz"),
    ("funky.aiff", "arcade", [MUSIC + "funkyrobot.mp3"], {"start": 30, "stop": 40, "mono": True}, "arcade, MIT; music, mono, 44.1 kHz"),
    (
        "effects.wav",
        "arcade",
        [SOUNDS + name + ".wav" for name in ("explosion1", "explosion2", "gameover1", "gameover2", "gameover4", "gameover5")],
        {},
        "arcade, MIT; effects, mono, 44.1 kHz",
    ),
    (
        "speech.wav",
        "pocketsphinx",
        [SPEECH % number for number in ("0870", "0880", "0890", "0920", "0930")],
        {},
        "LibriVox, public domain; speech, mono, 16 kHz",
    ),
]


def members(packages, name):
    """The files of the one archive whose name begins with `name`."""
    (path,) = [path for path in packages.iterdir() if path.name.lower().startswith(name)]
    if path.suffix == ".whl":
        archive = zipfile.ZipFile(path)
        return path.name, archive.read
    archive = tarfile.open(path)
    top = archive.getnames()[0].split("/")[0]
    return path.name, lambda member: archive.extractfile(f"{top}/{member}").read()


def convert_image(data, path, mode=None, box=None):
    image = Image.open(io.BytesIO(data))
    image = image.convert(mode) if mode else image
    (image.crop(box) if box else image).save(path)


def convert_audio(clips, path, start=0, stop=None, mono=False):
    decoded = [soundfile.read(io.BytesIO(clip), dtype="float64", always_2d=True) for clip in clips]
    rate = decoded[0][1]
    samples = np.concatenate([samples for samples, _ in decoded])
    samples = samples[start * rate : stop and stop * rate]
    if mono:
        samples = samples.mean(axis=1, keepdims=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


def main(packages, out):
    lines = []
    for folder, table in (("images", IMAGES), ("audio", AUDIO)):
        (out / folder).mkdir(exist_ok=True)
        for name, archive, sources, options, note in table:
            package, read = members(packages, archive)
            path = out / folder / name
            if folder == "images":
                convert_image(read(sources), path, **options)
            else:
                convert_audio([read(source) for source in sources], path, **options)
            lines.append(f"{folder}/{name}\t{path.stat().st_size}\t{package}\t{note}\n")
    (out / "README").write_text("file\tbytes\tfrom\tsource and licence\n" + "".join(lines))


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
