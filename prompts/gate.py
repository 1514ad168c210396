#!/usr/bin/env python3
"""Can a caller tell the recordings apart? An intelligibility gate for prompts.

Each recording goes through a telephone line (300 to 3400 Hz, 8 kHz, active level about -26 dBov, G.711 mu-law and
back) and is then recognised by pocketsphinx, which may choose among all recordings of the same set. A recording that
the machine takes for another one is a recording that a person on a bad line may take for another one.

    python3 -m venv /tmp/gate && /tmp/gate/bin/pip install pocketsphinx numpy scipy
    /tmp/gate/bin/python prompts/gate.py                  # exit code 1 when a set has more errors than allowed
    /tmp/gate/bin/python prompts/gate.py --verbose        # what each recording was taken for

How far to trust it: pocketsphinx was trained on people and on 16 kHz, so it makes errors of its own; one or two wrong
items in a set mean little, a jump means that a voice, a level or a text got worse. English only.
"""

import argparse
import pathlib
import re
import sys
import tomllib

import numpy as np
import pocketsphinx
import scipy.io.wavfile
import scipy.signal

TELEPHONE_HZ = 8_000
MODEL_HZ = 16_000

# Words that the recogniser's dictionary lacks, in its phonemes.
PRONUNCIATIONS = {
    "backquote": "B AE K K W OW T",
    "backslash": "B AE K S L AE SH",
    "underscore": "AH N D ER S K AO R",
    "juliet": "JH UW L IY EH T",
    "x-ray": "EH K S R EY",
    "semicolon": "S EH M IY K OW L AH N",
    "tilde": "T IH L D AH",
    "caret": "K AE R AH T",
    "ampersand": "AE M P ER S AE N D",
}

# Set of recordings, errors that are allowed.
SETS = [
    ("spell.upper", 3),
    ("spell.lower", 3),
    ("spell.digit", 1),
    ("spell.symbol", 2),
    ("spell", 6),
    ("digit", 2),
    ("press", 2),
    ("number", 4),
]


def texts(folder):
    """Prompt id to what is said, from prompts.toml."""
    found = {}

    def collect(table, prefix):
        for key, value in table.items():
            name = f"{prefix}.{key}" if prefix else key
            if isinstance(value.get("text"), str):
                found[name] = value["text"]
            else:
                collect(value, name)

    with open(folder / "prompts.toml", "rb") as file:
        collect(tomllib.load(file), "")
    return found


def words(text):
    """The text as the grammar wants it: small letters, no punctuation."""
    return " ".join(re.findall(r"[a-z][a-z'-]*", text.lower()))


def mu_law_round_trip(samples):
    """G.711 mu-law by its continuous law: 8 bits, mu = 255."""
    mu = 255.0
    compressed = np.sign(samples) * np.log1p(mu * np.abs(samples)) / np.log1p(mu)
    codes = np.round(compressed * 127.0) / 127.0
    return np.sign(codes) * np.expm1(np.abs(codes) * np.log1p(mu)) / mu


def over_the_telephone(file):
    """The recording after a telephone line, as 16-bit samples for the recogniser."""
    rate, samples = scipy.io.wavfile.read(file)
    samples = samples.astype(np.float64) / 32768.0
    samples = scipy.signal.resample_poly(samples, TELEPHONE_HZ, rate)
    band = scipy.signal.butter(4, [300, 3400], "bandpass", fs=TELEPHONE_HZ, output="sos")
    samples = scipy.signal.sosfilt(band, samples)
    # A recording has no pauses in it, so the mean over its louder half is close to the active level.
    power = np.sort(samples**2)
    level = 10 * np.log10(np.mean(power[len(power) // 2 :]) / 2)
    samples = np.clip(samples * 10 ** ((-26 - level) / 20), -1, 1)
    samples = mu_law_round_trip(samples)
    wide = scipy.signal.resample_poly(samples, MODEL_HZ, TELEPHONE_HZ)
    silence = np.zeros(MODEL_HZ // 4)
    wide = np.concatenate([silence, wide, silence])
    # The recogniser wants some noise floor: digital silence confuses its endpointing.
    noise = np.random.default_rng(1).normal(0, 3e-4, len(wide))
    return (np.clip(wide + noise, -1, 1) * 32767).astype(np.int16)


def recogniser(sentences):
    """A decoder that hears nothing but one of the sentences."""
    decoder = pocketsphinx.Decoder(samprate=MODEL_HZ, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80)
    for sentence in sentences:
        for word in sentence.split():
            if decoder.lookup_word(word) is None:
                decoder.add_word(word, PRONUNCIATIONS[word], True)
    rules = " | ".join(sorted(sentences))
    decoder.add_jsgf_string("gate", f"#JSGF V1.0; grammar gate; public <item> = {rules};")
    decoder.activate_search("gate")
    return decoder


def hear(decoder, samples):
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr if decoder.hyp() else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parent / "en-US")
    parser.add_argument("--verbose", action="store_true", help="tell what each recording was taken for")
    options = parser.parse_args()

    prompts = texts(options.folder)
    audio = {}
    failed = False
    for prefix, allowed in SETS:
        items = {name: words(text) for name, text in prompts.items() if name.startswith(prefix + ".")}
        decoder = recogniser(set(items.values()))
        wrong = []
        for name, expected in items.items():
            if name not in audio:
                audio[name] = over_the_telephone(options.folder / (name.replace(".", "/") + ".wav"))
            heard = hear(decoder, audio[name])
            if heard != expected:
                wrong.append(f"{name}: {expected!r} heard as {heard!r}")
        verdict = "ok" if len(wrong) <= allowed else "FAILED"
        failed |= len(wrong) > allowed
        print(f"{prefix:14} {len(wrong):3} of {len(items):3} wrong, {allowed} allowed: {verdict}")
        if options.verbose or len(wrong) > allowed:
            print("".join(f"    {line}\n" for line in wrong), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
