"""Words beside a number: currencies, magnitudes, units in one spelling, and words that change what it means."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


CURRENCY = r"(?:(?:US|A|C|NZ|HK)?\$|[€£¥₹₩₽₺₦฿₫]|(?:USD|EUR|GBP|JPY|CNY|INR|CHF|Rs\.?)(?![A-Za-z]))"

MAGNITUDES: dict[str, float] = {
    "thousand": 1e3, "thousands": 1e3, "million": 1e6, "millions": 1e6, "billion": 1e9, "billions": 1e9,
    "trillion": 1e12, "trillions": 1e12, "lakh": 1e5, "lakhs": 1e5, "crore": 1e7, "crores": 1e7, "hundred": 1e2,
    "万": 1e4, "億": 1e8, "亿": 1e8, "百万": 1e6, "千": 1e3,
}  # fmt: skip

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen",
]  # fmt: skip
_ONES += ["seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBER_WORDS = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}

SENSES = words(
    "north south east west northeast northwest southeast southwest northward southward eastward westward am pm bc ad"
)
"""What a gold answer has must be in the answer too."""

_OPPOSITES = (
    "left right", "up down", "above below", "more less", "more fewer", "before after", "early late", "earlier later",
    "profit loss", "gain loss", "gained lost", "increase decrease", "increased decreased", "north south", "east west",
    "upward downward", "upwards downwards", "clockwise counterclockwise", "clockwise anticlockwise", "inside outside",
    "higher lower", "faster slower", "older younger", "ahead behind", "forward backward", "forwards backwards",
    "longer shorter", "credit debit", "am pm", "bc ad", "win loss", "surplus deficit", "warmer colder", "over under",
)  # fmt: skip
OPPOSITE: dict[str, frozenset[str]] = {}
"""Of a word those that say the contrary."""
for _pair in _OPPOSITES:
    for _word, _other in (_pair.split(), reversed(_pair.split())):
        OPPOSITE[_word] = OPPOSITE.get(_word, frozenset()) | {_other}

_SPELLINGS = (
    "$ us$ usd dollar dollars buck bucks", "€ eur euro euros", "£ gbp pound_sterling quid",
    "¥ jpy yen cny yuan rmb 元 円",
    "₹ inr rupee rupees rs", "₩ won", "₽ ruble rubles rouble roubles", "cent cents ¢",
    "km kilometer kilometers kilometre kilometres", "m meter meters metre metres 米",
    "cm centimeter centimeters centimetre centimetres", "mm millimeter millimeters millimetre millimetres",
    "mile miles mi", "foot feet ft", "inch inches in", "yard yards yd yds",
    "kg kilogram kilograms kilo kilos", "g gram grams", "mg milligram milligrams", "lb lbs pound pounds",
    "oz ounce ounces", "ton tons tonne tonnes", "l liter liters litre litres",
    "ml milliliter milliliters millilitre millilitres",
    "hour hours hr hrs h 小时 時間", "minute minutes min mins 分钟", "second seconds sec secs s", "day days 天",
    "week weeks", "month months", "year years yr yrs", "square sq", "cubic cu", "mph", "kmh", "km/h",
    "°c celsius", "°f fahrenheit", "° degree degrees deg", "person people persons", "child children", "man men",
    "woman women", "tooth teeth", "mouse mice", "goose geese", "leaf leaves", "loaf loaves",
    "half halves", "knife knives",
)  # fmt: skip
_CANONICAL = {word: line.split()[0] for line in _SPELLINGS for word in line.split()}
_PERCENT = frozenset({"%", "percent", "percents", "percentage", "pct", "points", "point", "％"})
_FILLING = words(
    "of in at the a an to for and or is was are per each every total all altogether left remaining now only so "
    "that this from by on with be will would as it its their his her he she they we you i which who when after "
    "before because since if then more less extra additional other different whole entire worth"
)


def unit_name(word: str) -> str:
    """One spelling of a word of a unit: km for kilometres, egg for eggs, m2 for m^2 and m²; "" for %, of, in, ..."""
    folded = word.casefold().rstrip(".").replace("^", "").replace("²", "2").replace("³", "3")
    if folded in _PERCENT or folded in _FILLING and word != "in.":
        return ""
    power = folded[-1] if folded[-1:] in ("2", "3") else ""
    folded = folded.removesuffix(power)
    folded = _CANONICAL.get(folded) or _CANONICAL.get(_singular(folded)) or _singular(folded)
    return folded + power


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "oes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word


def is_unit(word: str) -> bool:
    """Whether `word` is a known unit, currency or percent sign, whatever it stands beside."""
    folded = word.casefold().rstrip(".").replace("^", "").replace("²", "").replace("³", "").rstrip("23")
    return folded in _CANONICAL and folded != "in" or folded in ("%", "percent")
