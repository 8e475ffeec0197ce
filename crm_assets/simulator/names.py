"""Invented names of people and companies, as many as a simulated CRM needs."""

from __future__ import annotations

import string

import numpy as np

FIRST_NAMES = (
    "Adela Alaric Amara Ansel Astrid Basil Beatrix Bram Calla Casper Clement Cora Dagny Darius Delphine Edmund "
    "Eloise Emeric Esme Fabian Felicity Fergus Flora Gideon Greta Gwen Hector Helga Hugo Imogen Ines Ivo Jasper "
    "Joelle Kasimir Kerstin Lars Leander Linnea Lucian Mabel Magnus Marisol Nadia Nils Odette Orson Paloma Percy "
    "Petra Quentin Ramona Rhys Saskia Selma Silas Tamsin Thea Ulrich Ursula Vera Viggo Wanda Yusuf"
)
LAST_NAMES = (
    "Abernathy Ashdown Bancroft Birkeland Blackwood Brannigan Calloway Carmody Castellan Corrigan Dalgaard "
    "Delacroix Dunleavy Eastwick Ellery Fairbanks Falkner Fitzroy Galbraith Garrick Goldwin Hadley Halloran "
    "Harcourt Hollis Ibarra Ingleby Jernigan Kallas Kestrel Kilbride Lachlan Langdon Lindqvist Lockhart Macrae "
    "Marchetti Merriman Mortensen Nakagawa Nightingale Okafor Ormond Paxton Pemberton Quigley Quintero Radcliffe "
    "Renshaw Rosewood Sandoval Sinclair Stanhope Tanaka Thackeray Tolliver Underhill Valverde Vandermeer "
    "Wainwright Westbrook Whitlock Yarrow Zielinski"
)
COMPANY_STEMS = (
    "Alder Amber Anvil Arden Beacon Birch Bramble Brindle Cairn Cedar Cinder Cobalt Copper Coral Crane Dawn Delta "
    "Drift Dune Elm Ember Fable Falcon Fen Fjord Flint Garnet Glade Granite Harbor Hazel Heron Indigo Iron Jade "
    "Juniper Kelp Kite Larch Linden Lumen Maple Marble Mesa Moss Nimbus North Onyx Opal Orchid Osprey Pebble Pine "
    "Plover Quarry Quill Raven Reed Ridge Rowan Sable Slate Sparrow Sterling Stone Tamar Teal Thistle Timber "
    "Umber Vale Velvet Violet Willow Wren Zephyr"
)
COMPANY_ENDINGS = (
    "bridge craft crest dale field ford forge gate haven hill line mark mere mill point port side stead view ward "
    "way well wick wood works worth"
)


def people(count: int, rng: np.random.Generator) -> list[str]:
    """`count` different names, `Flora Ashdown`; with a middle initial once the pairs run out."""
    picked = _picked(count, rng, FIRST_NAMES.split(), LAST_NAMES.split())
    return [f"{first}{initial} {last}" for first, initial, last in picked]


def companies(count: int, rng: np.random.Generator) -> list[str]:
    """`count` different names, `Heronworks`; with a letter behind them once the pairs run out."""
    picked = _picked(count, rng, COMPANY_STEMS.split(), COMPANY_ENDINGS.split())
    return [f"{stem}{end}{letter}" for stem, letter, end in picked]


def _picked(count: int, rng: np.random.Generator, firsts: list[str], seconds: list[str]) -> list[tuple[str, str, str]]:
    """`count` different (first, initial, second); the initial is empty or ` A` to ` Z`, twice over where need be."""
    pairs = len(firsts) * len(seconds)
    initials = [""]
    while pairs * len(initials) < count:
        initials += [f" {letter * (1 + len(initials) // 26)}" for letter in string.ascii_uppercase]
    picked = []
    for block, initial in enumerate(initials):
        size = min(pairs, count - block * pairs)
        if size <= 0:
            break
        for pair in rng.permutation(pairs)[:size]:
            picked.append((firsts[pair // len(seconds)], initial, seconds[pair % len(seconds)]))
    return picked
