"""Units by meaning: "bpm" and "beats/min" are one unit, "mmHg" and "kPa" are two."""

import unicodedata

ALIASES: dict[str, tuple[str, ...]] = {
    "1/min": ("/min", "bpm", "beats/min", "beats/minute", "breaths/min", "insp/min", "resp/min", "perminute", "min-1", "min^-1"),
    "mmhg": ("mm[hg]", "torr"),
    "°c": ("c", "degc", "degreesc", "celsius", "cel", "degreecelsius", "degreescelsius"),
    "°f": ("f", "degf", "degreesf", "fahrenheit", "[degf]", "degreefahrenheit", "degreesfahrenheit"),
    "%": ("percent", "pct"),
    "k/ul": ("10^3/ul", "10*3/ul", "x10^3/ul", "x10*3/ul", "thous/ul", "thousand/ul", "10^9/l", "10*9/l", "x10^9/l"),
    "m/ul": ("10^6/ul", "10*6/ul", "x10^6/ul", "million/ul", "10^12/l", "10*12/l"),
    "iu/l": ("u/l", "units/l", "[iu]/l", "[u]/l"),
    "ng/ml": ("ug/l",),
    "mg/l": ("ug/ml",),
    "years": ("year", "yr", "yrs", "y", "a"),
    "h": ("hour", "hours", "hr", "hrs"),
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("minute", "minutes"),
    "ml": ("milliliter", "milliliters", "millilitre", "cc"),
    "l": ("liter", "liters", "litre", "litres"),
    "kg": ("kilogram", "kilograms", "kgs"),
    "cm": ("centimeter", "centimeters", "centimetre"),
    "points": ("point", "score"),
    "1": ("ratio", "fraction", "unitless"),
    "ph": ("phunits",),
}
"""Other spellings of a unit, as `_spelt` leaves them. Only what is equal in value stands here (mEq/L is mmol/L for some ions only)."""

_CANONICAL = {spelling: unit for unit, spellings in ALIASES.items() for spelling in spellings}


def same_unit(one: str, other: str) -> bool:
    """Whether two spellings mean the same unit."""
    return _canonical(one) == _canonical(other)


def _canonical(unit: str) -> str:
    spelt = _spelt(unit)
    return _CANONICAL.get(spelt, spelt)


def _spelt(unit: str) -> str:
    """Without spaces, in lower case, micro as u."""
    text = "".join(unicodedata.normalize("NFKC", unit).split()).lower().replace("\u03bc", "u")
    return text.replace("mcg", "ug")
