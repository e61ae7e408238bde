"""Names and places that no rule can find: a recogniser of somebody else's, where one is installed and switched on."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

from core.pii import PersonalData, Recogniser

DataRecogniser = Literal["none", "presidio"]
# Presidio's entities that the rules have none for; all others the rules find better
KINDS = {"PERSON": "name", "LOCATION": "address", "NRP": "name"}
SURE_ENOUGH = 0.5
# characters given to a pipeline at once, and how many of them again with the next: no name is longer
_PIECE, _AGAIN = 100_000, 200


class RecogniserMissing(RuntimeError):
    """The recogniser that the settings ask for cannot be used; the message says what to install."""


def recogniser(name: DataRecogniser, engine: Any = None) -> Recogniser | None:
    """What `core.pii.mask_personal` takes; None where only the rules look. `engine` answers as Presidio's does.

    RecogniserMissing where it is not installed.
    """
    if name == "none":
        return None
    return _Presidio(engine) if engine is not None else _presidio()


def name_and_version(name: DataRecogniser) -> str:
    """What a dataset remembers of who looked; empty where only the rules did."""
    return "" if name == "none" else f"presidio-{version('presidio-analyzer')}"


class _Presidio:
    """Presidio's spans of names and places, in whichever of its languages sees them."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._languages: Sequence[str] = tuple(engine.supported_languages)

    def __call__(self, text: str) -> list[PersonalData]:
        found = {
            PersonalData(KINDS[one.entity_type], begin + one.start, begin + one.end, one.score >= 0.85): None
            for begin in range(0, max(len(text) - _AGAIN, 1), _PIECE - _AGAIN)
            for language in self._languages
            for one in self._analyzed(text[begin : begin + _PIECE], language)
            if one.entity_type in KINDS and one.score >= SURE_ENOUGH
        }
        return list(found)

    def _analyzed(self, text: str, language: str) -> Sequence[Any]:
        known = set(self._engine.get_supported_entities(language)) & set(KINDS)
        results: Sequence[Any] = self._engine.analyze(text, language=language, entities=sorted(known)) if known else ()
        return results


@cache
def _presidio() -> _Presidio:
    """One for a process: its models take a second to load, and their room."""
    return _Presidio(_presidio_engine())


def _presidio_engine() -> Any:
    if find_spec("presidio_analyzer") is None:
        raise RecogniserMissing(
            "DATA_RECOGNISER=presidio needs the package presidio-analyzer: "
            "run `.venv/bin/pip install -r requirements/recognisers.in`, or set it to none"
        )
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = _installed_models()
    if not models:
        raise RecogniserMissing(
            "DATA_RECOGNISER=presidio needs a spaCy model that knows names, found none: install en_core_web_sm for "
            "English, ko_core_news_sm for Korean, or set it to none"
        )
    configuration = {"nlp_engine_name": "spacy", "models": models}
    engine = NlpEngineProvider(nlp_configuration=configuration).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[model["lang_code"] for model in models])


def _installed_models() -> list[dict[str, str]]:
    """The largest of each language that is there: nothing is downloaded."""
    sizes = ("lg", "md", "sm")
    families = {"en": "en_core_web", "ko": "ko_core_news"}
    found = {
        language: next((f"{family}_{size}" for size in sizes if find_spec(f"{family}_{size}")), None)
        for language, family in families.items()
    }
    return [{"lang_code": language, "model_name": model} for language, model in found.items() if model]
