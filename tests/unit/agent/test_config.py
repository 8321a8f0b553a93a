"""Settings: one file, then the environment; what is wrong is named before anything starts."""

from pathlib import Path

import pytest

from agent.config import AgentConfig, load_config
from agent.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    (folder / "agent.toml").write_text(text, encoding="utf-8")
    return folder


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    assert load_config(tmp_path, {}) == AgentConfig()


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    data = written(tmp_path, 'pos_port = 8000\nlanguage = "ru"\n')
    config = load_config(data, {"TILLSIDE_POS_PORT": "9000", "TILLSIDE_PULL_INTERVAL_S": "2.5"})
    assert (config.pos_port, config.language, config.pull_interval_s) == (9000, "ru", 2.5)


def test_what_the_environment_says_of_others_is_not_ours(tmp_path: Path) -> None:
    assert load_config(tmp_path, {"POS_PORT": "1", "TILLSIDE": "x"}) == AgentConfig()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pos_prot = 7710", "pos_prot"),
        ("[link]\npull_interval_s = 5", "link"),
        ("pos_port = 'seven'", "pos_port"),
        ("pos_port = 7710.5", "pos_port"),
        ("pos_port = [7710]", "pos_port"),
        ("pos_port = 70000", "pos_port"),
        ("pos_port = -1", "pos_port"),
        ("language = 'fr'", "language"),
        ("pull_interval_s = 0", "pull_interval_s"),
        ("hello_interval_s = -5", "hello_interval_s"),
        ("request_timeout_s = nan", "request_timeout_s"),
        ("retry_delay_s_max = inf", "retry_delay_s_max"),
        ("ask_budget_ms = -1", "ask_budget_ms"),
        ("risk_points_per_receipt_max = -1", "risk_points_per_receipt_max"),
        ("pos_port = ", "agent.toml"),
        ("pos_port = 1\npos_port = 2", "agent.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        load_config(written(tmp_path, text), {})


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_bytes(b"\xff\xfelanguage")
    with pytest.raises(ConfigurationError, match=r"agent\.toml is not TOML"):
        load_config(tmp_path, {})


@pytest.mark.parametrize("value", ["", "seven", "7710 7711", "0x10", "nan"])
def test_a_wrong_variable_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match="pos_port"):
        load_config(tmp_path, {"TILLSIDE_POS_PORT": value})


def test_the_parts_take_their_settings_from_one_place(tmp_path: Path) -> None:
    config = load_config(
        tmp_path, {"TILLSIDE_ASK_BUDGET_MS": "70", "TILLSIDE_RISK_POINTS_PER_RECEIPT_MAX": "5"}
    )
    assert config.link().ask_budget_ms == 70
    assert config.till().risk_points_per_receipt_max == 5
