"""The list of settings that a person reads is the list that is read."""

from deploy.env_example import text
from resources.settings import ROOT, Settings


def test_the_example_lists_every_setting_with_its_default_and_description() -> None:
    written = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert written == text(), "run `make fix`, which writes it anew"
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"\n# {name}=" in written.lower()
