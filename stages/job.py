"""What a version is trained on and from: conversations, replay, preferences, the adapter it starts from."""

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from core.conversation import Conversation
from core.recipe import PREFERENCE_METHODS, Recipe
from resources import adapters, datasets, preferences
from resources.golden_sets import golden_conversations
from resources.recognisers import recogniser
from resources.reference_sets import REPLAY, read_set
from stages.work import Work
from wrappers.adapter_job import AdapterJob
from wrappers.checkpoints import Origin

logger = logging.getLogger("train")


def adapter_job(work: Work, origin: Origin) -> AdapterJob:
    """From the base all accepted conversations are new; from the champion those it has not learned, the rest replay.

    It has learned neither this version's nor those of versions that were rejected since.
    """
    conversations = datasets.read_train(work.folder("datasets"))
    said = _preferences(work, origin.recipe, conversations)
    replay = read_set(REPLAY)
    start = _start(work, origin)
    if start:
        names = work.store.pseudonyms()
        own = set(map(names.id, work.store.versions.ids_since(work.claim.n, origin.parent or 0)))
        replay += [conversation for conversation in conversations if names.id(conversation.id) not in own]
        conversations = [conversation for conversation in conversations if names.id(conversation.id) in own]
    recipe = _fitting_into_memory(work, origin.recipe)
    needed = recipe.patience or recipe.rate_factors
    validation = datasets.read_side(work.folder("datasets"), "validation") if needed else []
    return AdapterJob(work.base, work.base.name, conversations, replay, recipe, start, said, validation)


def _fitting_into_memory(work: Work, recipe: Recipe) -> Recipe:
    """More and shorter rows, and activations computed twice, make the same steps with less memory.

    What was asked for stays in the manifest as it was asked.
    """
    if not work.version.out_of_memory:
        return recipe
    tokens = recipe.row_tokens(work.version.out_of_memory)
    logger.warning("Memory ran out before: rows of %d instead of %d tokens", tokens, recipe.pack_tokens)
    return recipe.model_copy(update={"pack_tokens": tokens, "gradient_checkpointing": True})


def _preferences(work: Work, recipe: Recipe, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
    """What people corrected or rated, where the method asks for it and there is enough of it."""
    if recipe.method not in PREFERENCE_METHODS:
        return []
    found = _corrections_or_ratings(work, recipe, conversations)
    settings = work.settings
    least = preferences.Least(
        settings.finetune_min_corrections, settings.finetune_min_ratings, settings.finetune_min_blamed
    )
    why_not = preferences.too_few(recipe.method, found, least)
    if why_not is None:
        return found
    work.store.events.add("preferences_too_few", f"v{work.claim.n}, {recipe.method}: {why_not}", work.claim.n)
    return []


def _corrections_or_ratings(work: Work, recipe: Recipe, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
    recognise = recogniser(work.settings.data_recogniser)
    if recipe.method == "dpo":
        return preferences.corrections(work.store, conversations, recognise)
    folder = work.folder("datasets")
    kept_apart = chain(datasets.read_side(folder, "held_out"), datasets.read_side(folder, "validation"))
    golden = golden_conversations(work.store, work.settings.state_dir / "uploads") or []
    return preferences.ratings(work.store, conversations, recognise, kept_apart, golden)


def _start(work: Work, origin: Origin) -> Path | None:
    if origin.parent is None:
        return None
    folder = work.folder("adapters", origin.parent)
    adapters.verify(folder, work.fingerprint)
    return folder
