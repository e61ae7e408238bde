"""Answers against the replies that people gave: chrF++ and BLEU of each, by sacrebleu."""

from collections.abc import Sequence

from core.language import language_of, script_of
from core.reading import read

# sacrebleu's tokenizer for a language; any other is split as English is
_TOKENIZERS = {"ko": "ko-mecab"}
_ENGLISH = "13a"


def overlaps(answers: Sequence[str], references: Sequence[str]) -> list[tuple[float, float]]:
    """chrF++ (Popović 2017) and sentence BLEU (Papineni 2002, effective order) of each answer, 0 to 100."""
    from sacrebleu.metrics import BLEU, CHRF

    chrf = CHRF(word_order=2)
    bleu = {
        name: BLEU(tokenize=name, effective_order=True) for name in {_tokenizer(reference) for reference in references}
    }
    return [
        (
            float(chrf.sentence_score(answer, [reference]).score),
            float(bleu[_tokenizer(reference)].sentence_score(answer, [reference]).score),
        )
        for answer, reference in zip(answers, references, strict=True)
    ]


def _tokenizer(text: str) -> str:
    found = read(text)
    return _TOKENIZERS.get(language_of(found) or script_of(found), _ENGLISH)
