"""The rules of `preprocess.cleaning.rules` over whole columns: those that DuckDB can express run there, many times as fast.

An expression takes {t}, a text, to the text that should stand there, or to NULL where the tweet has to go. The patterns are
those of the rules themselves, and a test compares both on every kind of text. A rule without an expression is called for
each text, where its condition holds.
"""

from collections import Counter
from collections.abc import Sequence

import duckdb

from preprocess.cleaning import languages, rules
from preprocess.cleaning.rules import NOT_IN, CleaningOptions, Rule, message_rules

from .formats import quoted


def _regexp(pattern: str, replacement: str) -> str:
    """Replace every match."""
    return f"regexp_replace({{t}}, {quoted(_braced(pattern))}, {quoted(replacement)}, 'g')"


def _braced(pattern: str) -> str:
    return pattern.replace("{", "{{").replace("}", "}}")


def _where(condition: str, expression: str = "{call}({t})") -> str:
    """The expression where the condition holds, else the text as it is."""
    return f"CASE WHEN {condition} THEN {expression} ELSE {{t}} END"


ASCII = "length({t}) = strlen({t})"  # as many characters as bytes
# of the others, no ASCII one is left where control characters were blanked
UNUSUAL_SPACE = f"NOT {ASCII} AND regexp_matches({{t}}, {quoted(f'[{rules.SPACE[1:]}]')})"
SPACES = "length({t}) - length(replace({t}, ' ', ''))"

# If neither any of these letters nor all others together are more than half of a text, no letter is
_LETTERS = "length(replace({t}, ' ', ''))"
_OF_EACH = [f"length({{t}}) - length(replace({{t}}, '{letter}', ''))" for letter in "etaoinsr"]
MOSTLY_ONE = f"2 * greatest({', '.join(_OF_EACH)}, {_LETTERS} - ({' + '.join(_OF_EACH)})) > {_LETTERS}"

# by the name of a rule's function; {call} calls the function itself
EXPRESSIONS = {
    "unescape_html": _where("contains({t}, '&')"),
    "blank_control_characters": _where(
        f"regexp_matches({{t}}, {quoted(rules.CONTROLS)})", _regexp(rules.CONTROLS, " ")
    ),
    "remove_invisible_characters": _where(f"NOT {ASCII}", _regexp(rules.INVISIBLES, "")),
    "remove_urls": _where("contains({t}, '://') OR regexp_matches({t}, '[wW][wW][wW][.]')", _regexp(rules.URLS, " ")),
    "remove_names_at_the_start": _where(
        "contains({t}, '@') OR contains({t}, '\uff20')", _regexp(rules.NAMES_AT_THE_START, "")
    ),
    "remove_hashtags_at_the_end": _where(
        "contains({t}, '#') OR contains({t}, '\uff03')", _regexp(rules.HASHTAGS_AT_THE_END, "")
    ),
    "remove_emoji": _where(f"NOT {ASCII} OR contains({{t}}, '\u20e3')"),
    "break_up_symbols": _where("contains({t}, '<') OR contains({t}, '\uff1c') OR contains({t}, '\ufe64')"),
    "squeeze_whitespace": _where(
        f"contains({{t}}, '  ') OR starts_with({{t}}, ' ') OR ends_with({{t}}, ' ') OR {UNUSUAL_SPACE}",
        f"trim({_regexp(f'[{rules.SPACE}]+', ' ')})",
    ),
    "lower_case": f"CASE WHEN {ASCII} THEN lower({{t}}) ELSE {{call}}({{t}}) END",
    "drop_empty": "nullif({t}, '')",
    "drop_unless_latin": (
        f"CASE WHEN {ASCII} THEN CASE WHEN regexp_matches({{t}}, '[A-Za-z]') THEN {{t}} END "
        f"WHEN regexp_matches({{t}}, '{languages.LATIN_LETTERS}') THEN {{call}}({{t}}) END"
    ),
    "drop_without_kana": f"CASE WHEN regexp_matches({{t}}, '{languages.KANAS}') THEN {{t}} END",
    "drop_one_character": _where(MOSTLY_ONE),
    "drop_marks": _where(f"regexp_matches({{t}}, {quoted(_braced(rules.MARKED))})", "NULL"),
}


class Columns:
    """The rules for tweets, applied to the columns `text` and `lang` of a table."""

    def __init__(self, base: duckdb.DuckDBPyConnection, wanted: CleaningOptions):
        self.names: list[str] = []
        self.expressions: list[str] = []
        for number, (name, rule) in enumerate([*message_rules(wanted), *rules.rules(wanted)]):
            self.names.append(name)
            expression = self._expression(base, number, rule, wanted)
            if name.startswith(NOT_IN):  # a tweet's own field knows better than any detector
                expression = f"CASE WHEN lang = {quoted(wanted.lang)} THEN {{t}} ELSE {expression} END"
            self.expressions.append(expression)

    def _expression(self, base: duckdb.DuckDBPyConnection, number: int, rule: Rule, wanted: CleaningOptions) -> str:
        function = getattr(rule, "__name__", getattr(getattr(rule, "func", None), "__name__", ""))
        if function == "drop_short":
            few = "NOT contains({t}, ' ')" if wanted.min_words == 2 else f"{SPACES} + 1 < {wanted.min_words}"
            return _where(few, "NULL")
        if function == "drop_long":
            return _where(f"strlen({{t}}) > {wanted.max_words} AND {SPACES} >= {wanted.max_words}", "NULL")
        expression = EXPRESSIONS.get(function, "{call}({t})")
        if "{call}" in expression:
            base.create_function(
                f"rule_{number}", lambda text: None if text is None else rule(text), ["VARCHAR"], "VARCHAR",
                null_handling="special",
            )  # fmt: skip
        return expression.replace("{call}", f"rule_{number}")

    def query(self, table: str) -> str:
        """The table with clean texts; `dropped`: the number of the rule that dropped the tweet, from 1, or NULL; `changed`:
        a bit for every rule that changed it."""
        query = f"SELECT *, text AS t0 FROM {table}"
        for number, expression in enumerate(self.expressions, 1):
            query = f"SELECT *, {expression.format(t=f't{number - 1}')} AS t{number} FROM ({query})"
        count = len(self.expressions)
        dropped = " ".join(f"WHEN t{number} IS NULL THEN {number}" for number in range(1, count + 1))
        changed = " + ".join(
            f"CASE WHEN t{number} <> t{number - 1} THEN {1 << (number - 1)} ELSE 0 END"
            for number in range(1, count + 1)
        )
        texts = ", ".join(f"t{number}" for number in range(count + 1))
        return (
            f"SELECT * EXCLUDE ({texts}) REPLACE (t{count} AS text), hash(t0) AS raw, CASE {dropped} END AS dropped, "
            f"({changed})::BIGINT AS changed FROM ({query})"
        )

    def tally(self, rows: Sequence[tuple[int | None, int, int]]) -> Counter:
        """(dropped, changed, count) of all tweets -> "dropped NAME" and "changed NAME"."""
        counts: Counter[str] = Counter()
        for dropped, changed, count in rows:
            if dropped:
                counts[f"dropped {self.names[dropped - 1]}"] += count
            for number, name in enumerate(self.names):
                if changed >> number & 1:
                    counts[f"changed {name}"] += count
        return counts
