"""What Presidio finds in the turns of `bench.pii`, in its own environment: TURNS.jsonl TALK.jsonl ANSWER.json.

Pattern recognisers on a blank spaCy pipeline, without any model of names: as they come for English, and with the
Korean ones turned on, given Korean words to look for and Korean numbers to accept.
"""

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

KOREAN_CONTEXT = {
    "KR_RRN": ["주민등록번호", "주민번호", "주민", "민증"],
    "KR_FRN": ["외국인등록번호", "외국인", "등록번호"],
    "KR_BRN": ["사업자등록번호", "사업자번호", "사업자"],
    "KR_DRIVER_LICENSE": ["운전면허", "면허번호", "면허증"],
    "KR_PASSPORT": ["여권", "여권번호"],
}
LANGUAGES = ("en", "ko")


def _engine() -> Any:
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    class Blank(SpacyNlpEngine):  # type: ignore[misc]
        """Tokens only; the pipeline for Korean would need MeCab, the one for many languages needs nothing."""

        def __init__(self) -> None:
            models = [{"lang_code": language, "model_name": "blank"} for language in LANGUAGES]
            super().__init__(models=models, ner_model_configuration=NerModelConfiguration(labels_to_ignore=[]))
            self.nlp = {"en": spacy.blank("en"), "ko": spacy.blank("xx")}

    return Blank()


def analyzer(korean: bool) -> Any:
    """All in one registry, every recogniser that looks for patterns."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer import predefined_recognizers as predefined

    registry = RecognizerRegistry(supported_languages=list(LANGUAGES))
    registry.load_predefined_recognizers(languages=["en"])
    registry.recognizers = [one for one in registry.recognizers if "Spacy" not in type(one).__name__]
    if korean:
        # all that know no country, and the American ones of kinds that we look for in Korean text too
        generic = (
            predefined.CreditCardRecognizer, predefined.CryptoRecognizer, predefined.DateRecognizer,
            predefined.EmailRecognizer, predefined.IbanRecognizer, predefined.IpRecognizer,
            predefined.MacAddressRecognizer, predefined.UrlRecognizer, predefined.UsBankRecognizer,
            predefined.UsPassportRecognizer, predefined.UsSsnRecognizer,
        )  # fmt: skip
        for make in generic:
            registry.add_recognizer(make(supported_language="ko"))
        registry.recognizers = [one for one in registry.recognizers if type(one).__name__ != "PhoneRecognizer"]
        theirs = (
            predefined.KrRrnRecognizer,
            predefined.KrFrnRecognizer,
            predefined.KrBrnRecognizer,
            predefined.KrDriverLicenseRecognizer,
            predefined.KrPassportRecognizer,
        )
        for language in LANGUAGES:
            regions = ("KR", "US", "GB", "DE", "FR", "JP", "CN", "AU")
            registry.add_recognizer(
                predefined.PhoneRecognizer(
                    supported_language=language,
                    supported_regions=regions,
                    context=[*predefined.PhoneRecognizer.CONTEXT, "전화", "연락처", "핸드폰"],
                )
            )
            for make in theirs:
                entity = make().supported_entities[0]
                registry.add_recognizer(
                    make(supported_language=language, context=[*make.CONTEXT, *KOREAN_CONTEXT[entity]])
                )
    return AnalyzerEngine(registry=registry, nlp_engine=_engine(), supported_languages=list(LANGUAGES))


def run(turns: list[dict[str, str]], talk: list[dict[str, str]], korean: bool) -> dict[str, Any]:
    """Spans with their scores for every turn, and the seconds that turns and talk took, without the start."""
    engine = analyzer(korean)
    engine.analyze("warm 010-1234-5678", language="en")
    found, seconds = _timed(engine, turns, korean)
    _, talk_seconds = _timed(engine, talk, korean)
    spans = [[(one.entity_type, one.start, one.end, one.score) for one in results] for results in found]
    return {"seconds": seconds, "talk_seconds": talk_seconds, "found": spans}


def _timed(engine: Any, turns: list[dict[str, str]], korean: bool) -> tuple[list[Any], float]:
    gc.collect()
    gc.freeze()
    started = time.process_time()
    found = [engine.analyze(turn["text"], language=turn["language"] if korean else "en") for turn in turns]
    return found, time.process_time() - started


def _read(path: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    turns, talk = _read(sys.argv[1]), _read(sys.argv[2])
    answer = {name: run(turns, talk, korean) for name, korean in (("default", False), ("korean", True))}
    Path(sys.argv[3]).write_text(json.dumps(answer), encoding="utf-8")
