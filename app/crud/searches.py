"""What a search means: its words, the words of events that each may stand for, and how close an event comes.

The words that events have are few beside the events, and repeat. So a part of a word, or a misspelt one, is
looked up among them (by trigrams), and events are found by whole words, each of them a key of an index.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from app.core.database import Database
from app.core.spelling import is_likely, slips
from app.crud.records import planned
from app.models import Event, EventWord
from app.models.event import ALL_WORDS
from app.schemas.events import SearchIn

MOST_WORDS = 8
MOST_LETTERS = 2
MOST_MEANINGS = 100
MOST_CORRECTIONS = 30
SHORTEST_PART = 3  # one trigram
SPELT = "^[[:alpha:]]{3,}$"
LEAST_SIMILARITY = 0.2

BY_TRIGRAMS = planned(seqscan=False, settings={"pg_trgm.similarity_threshold": str(LEAST_SIMILARITY)})

_ES = ("a", "al", "con", "de", "del", "e", "el", "en", "la", "las", "los", "para", "por", "un", "una", "y")
_EN = ("and", "at", "for", "in", "of", "on", "the", "to", "with")
FILLERS = frozenset(_ES + _EN)
"""Spanish and English words that say nothing beside others."""

NAME = Event.__table__.c.name_words
VENUE = Event.__table__.c.venue_words
DESCRIPTION = Event.__table__.c.description_stems
ANYWHERE: ColumnElement[str] = literal_column(ALL_WORDS)

# How near a word of an event is to one that was asked for; each slip counts one more.
ITSELF, BEGINNING, WITHIN, MISSPELT = range(4)
GRADE = 1_000  # more than a name has words
NOT_THERE = 10 * GRADE
IN_VENUE = 10 * GRADE
IN_DESCRIPTION = 2 * IN_VENUE


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a search, and the words that it may stand for, those nearest to it under the lowest number.

    One that is not ``needed`` only has a say in what comes first.
    """

    text: str
    meanings: Mapping[int, str]
    """Each as tsquery text. The numbers belong to their kind, and so do not change when words are added."""

    needed: bool = True

    @property
    def meaning(self) -> str:
        """Say all that it may mean at once; a beginning holds the whole word, so that is not asked twice."""
        meanings = self.meanings.values()
        told = [meaning for meaning in meanings if f"{meaning}:*" not in meanings]
        return f"({'|'.join(told)})"


def understand(db: Database, text: str) -> list[Word]:
    """Return the words of a search, each for itself, for those that begin with it, and that contain it."""
    asked = func.unnest(func.tsvector_to_array(func.words_of(text))).column_valued("asked")
    containing = (
        select(EventWord.word)
        .where(func.length(asked) >= SHORTEST_PART, EventWord.word.like("%" + asked + "%"))
        .order_by(func.length(EventWord.word), EventWord.word)
        .limit(MOST_MEANINGS)
    )
    found = db.execute(
        select(asked, func.array(containing.scalar_subquery())), execution_options=BY_TRIGRAMS
    ).all()
    return _telling([_understood(word, words) for word, words in found])


def forgive(db: Database, words: Sequence[Word]) -> list[Word]:
    """Return the words of a search, each also for those that it may be a misspelling of."""
    asked = func.unnest(cast([word.text for word in words], ARRAY(Text))).column_valued("asked")
    similar = (
        select(EventWord.word)
        .where(asked.regexp_match(SPELT), EventWord.word.op("%")(asked))
        .order_by(func.similarity(EventWord.word, asked).desc(), EventWord.word)
        .limit(MOST_CORRECTIONS)
    )
    spelt = dict(
        db.execute(select(asked, func.array(similar.scalar_subquery())), execution_options=BY_TRIGRAMS).all()
    )
    return [
        replace(word, meanings={**word.meanings, **_corrected(word.text, spelt[word.text])}) for word in words
    ]


def is_broad(words: Sequence[Word]) -> bool:
    """Tell whether a letter or two have to be the beginning of a word: so many words begin with any."""
    return any(word.needed and len(word.text) < SHORTEST_PART for word in words)


def matches(words: Sequence[Word], search_in: SearchIn) -> ColumnElement[bool]:
    """Match the events that have every word that is needed."""
    needed = [word for word in words if word.needed]
    match search_in:
        case "name" | "venue":
            column = NAME if search_in == "name" else VENUE
            return _has(column, "&".join(word.meaning for word in needed))
        case "description":
            return DESCRIPTION.bool_op("@@")(_stems(" ".join(word.text for word in needed)))
        case "all":
            of_words = (cast(word.meaning, TSQUERY).op("||")(_stems(word.text)) for word in needed)
            nothing: ColumnElement[str] = cast("", TSQUERY)
            return ANYWHERE.bool_op("@@")(reduce(lambda one, other: one.op("&&")(other), of_words, nothing))


def distance(words: Sequence[Word], search_in: SearchIn) -> ColumnElement[int]:
    """Tell how far an event is from a search, a whole number that depends on its row alone.

    Closest are those that have the words as they were asked for, then those with words that begin so, then
    those that contain them, then those spelt alike; among equals, those with the fewest other words.
    """
    match search_in:
        case "name":
            column, far = NAME, 0
        case "venue":
            column, far = VENUE, 0
        case "description":
            return func.length(DESCRIPTION, type_=Integer)
        case "all":
            column, far = NAME, IN_DESCRIPTION
    of_words = (_distance_of(word, column, far) for word in words)
    return reduce(add, of_words, func.length(column, type_=Integer))


def _distance_of(word: Word, column: ColumnElement[str], far: int) -> ColumnElement[int]:
    grades = [(_has(column, meaning), literal(grade * GRADE)) for grade, meaning in word.meanings.items()]
    if far:
        grades.append((_has(VENUE, word.meaning), literal(IN_VENUE)))
    return case(*grades, else_=far or NOT_THERE)


def _understood(word: str, containing: Sequence[str]) -> Word:
    itself = _lexeme(word)
    if not word.isalnum():
        return Word(word, {ITSELF: itself})
    if len(word) < SHORTEST_PART:
        return Word(word, {ITSELF: itself, BEGINNING: f"{itself}:*"})
    beginning = [found for found in containing if found != word and found.startswith(word)]
    within = [found for found in containing if not found.startswith(word)]
    singular = [word[: -len(end)] for end in ("s", "es") if word.endswith(end)]
    meanings = {ITSELF: [word], BEGINNING: beginning, WITHIN: within + singular}
    return Word(word, {grade: _any_of(words) for grade, words in meanings.items() if words})


def _corrected(word: str, similar: Sequence[str]) -> dict[int, str]:
    """Return those of ``similar`` that the word may be a misspelling of, by the number of slips."""
    likely: defaultdict[int, list[str]] = defaultdict(list)
    for other in similar:
        if other != word and is_likely(word, other):
            likely[MISSPELT + slips(word, other)].append(other)
    return {grade: _any_of(likely[grade]) for grade in sorted(likely)}


def _telling(words: Sequence[Word]) -> list[Word]:
    """Keep the words that tell events apart, so that a long search costs no more than a short one.

    Half of all events have a word that begins with some letter: a single letter is needed only where there is
    nothing else.
    """
    telling = [word for word in words if word.text not in FILLERS] or words
    letters = [word for word in telling if len(word.text) == 1 and word.text.isalnum()]
    longer = sorted((word for word in telling if word not in letters), key=lambda word: -len(word.text))
    ranking = [replace(letter, needed=not longer) for letter in letters[:MOST_LETTERS]]
    return [*longer[:MOST_WORDS], *ranking]


def _any_of(words: Sequence[str]) -> str:
    return "|".join(map(_lexeme, words))


def _lexeme(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _has(column: ColumnElement[str], query: str) -> ColumnElement[bool]:
    return column.bool_op("@@")(cast(query, TSQUERY))


def _stems(text: str) -> ColumnElement[str]:
    spanish, english = (func.plainto_tsquery(language, text) for language in ("spanish", "english"))
    return spanish.op("||")(english)
