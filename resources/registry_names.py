"""The registry shows the names and tags that a person gave a version; the store is what they are kept in."""

from resources.registry import Registry
from resources.store import Store

NAME_TAG, RELEASE_TAG, TAGS_TAG = "whetstone.name", "whetstone.release", "whetstone.tags"


def tell_names(store: Store, registry: Registry) -> list[str]:
    """Write what the registry was not told yet, of versions that it knows; what was done, in sentences."""
    done = []
    for model, change in store.models.untold():
        if registry.registered(model.n) is None:
            continue
        named = {NAME_TAG: model.model_name or "", RELEASE_TAG: model.version or "", TAGS_TAG: ",".join(model.tags)}
        registry.tag(model.n, named)
        store.models.mark_told(model.n, change)
        done.append(f"v{model.n} is {model.model_name} {model.version} in the registry")
    return done
