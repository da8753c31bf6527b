# SPDX-License-Identifier: Apache-2.0
"""The shape of the code: what every module begins with, what pure packages stay away from, where tests are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path for package in ("p2p_handoff", "signaling") for path in (ROOT / package).rglob("*.py"))
SPDX = "# SPDX-License-Identifier: Apache-2.0"
PURE = ("content", "security", "session", "protocol")
IMPURE = frozenset(
    ("asyncio", "socket", "sqlite3", "time", "random", "secrets", "threading", "subprocess", "pathlib", "aiohttp")
)
WITHOUT_CODE = frozenset(("p2p_handoff/limits.py", "p2p_handoff/settings/words.py"))
"""Constants only."""
COVERED_ELSEWHERE = {
    "p2p_handoff/adapters/base.py": "tests/adapters/test_folder_conformance.py",
    "p2p_handoff/adapters/conversation_area.py": "tests/adapters/test_conversation_staging.py",
    "p2p_handoff/adapters/conversation_follow.py": "tests/adapters/test_conversation.py",
    "p2p_handoff/adapters/conversation_snapshot.py": "tests/adapters/test_conversation.py",
    "p2p_handoff/adapters/conversation_store.py": "tests/adapters/test_conversation.py",
    "p2p_handoff/adapters/file_system_traits.py": "tests/adapters/test_folder_staging.py",
    "p2p_handoff/adapters/folder_assemble.py": "tests/adapters/test_folder_staging.py",
    "p2p_handoff/adapters/folder_commit.py": "tests/adapters/test_folder_place.py",
    "p2p_handoff/adapters/folder_journal.py": "tests/adapters/test_folder_place.py",
    "p2p_handoff/adapters/git_unit.py": "tests/adapters/test_folder_conformance.py",
    "p2p_handoff/adapters/incoming_tree.py": "tests/adapters/test_folder_staging.py",
    "p2p_handoff/adapters/scanned.py": "tests/adapters/test_folder_scan.py",
    "p2p_handoff/adapters/staged_contents.py": "tests/adapters/test_folder_staging.py",
    "p2p_handoff/adapters/update_trial_process.py": "tests/adapters/test_update_trial.py",
    "p2p_handoff/agent/__main__.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/accepting.py": "tests/agent/test_answers.py",
    "p2p_handoff/agent/admission.py": "tests/agent/test_crossing.py",
    "p2p_handoff/agent/aftermath.py": "tests/agent/test_restart.py",
    "p2p_handoff/agent/agent.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/arrivals.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/assembly.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/commands/handoffs.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/commands/history.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/commands/one_off.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/commands/peers.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/commands/recovery.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/commands/sessions.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/commands/this_device.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/consenting.py": "tests/agent/test_take_questions.py",
    "p2p_handoff/agent/contacts.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/dialer.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/dialling.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/expected_copy.py": "tests/cli/test_commands.py",
    "p2p_handoff/agent/face.py": "tests/agent/test_session_handoff_2.py",
    "p2p_handoff/agent/granting.py": "tests/agent/test_answers.py",
    "p2p_handoff/agent/handoff_v2.py": "tests/agent/test_session_handoff_2.py",
    "p2p_handoff/agent/handoffs.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/incoming.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/incoming_offer.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/incoming_report.py": "tests/agent/test_giving_up.py",
    "p2p_handoff/agent/letting_go.py": "tests/agent/test_contributions.py",
    "p2p_handoff/agent/link_desk.py": "tests/agent/test_code_rooms.py",
    "p2p_handoff/agent/linking.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/links.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/merging.py": "tests/agent/test_reunion.py",
    "p2p_handoff/agent/multi_client_sync.py": "tests/agent/test_session_handoff_v1_7.py",
    "p2p_handoff/agent/open_wires.py": "tests/agent/test_wire.py",
    "p2p_handoff/agent/outgoing.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/outgoing_content.py": "tests/agent/test_leaving.py",
    "p2p_handoff/agent/outgoing_init.py": "tests/agent/test_leaving.py",
    "p2p_handoff/agent/outgoing_plan.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/outgoing_report.py": "tests/agent/test_report.py",
    "p2p_handoff/agent/outside.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/payloads.py": "tests/agent/test_session_handoff_2.py",
    "p2p_handoff/agent/placing.py": "tests/agent/test_unplaced.py",
    "p2p_handoff/agent/relays.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/resume.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/sealed_offers.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/services.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/agent/surroundings.py": "tests/agent/test_device_linking_v1_4.py",
    "p2p_handoff/agent/take_answers.py": "tests/agent/test_take.py",
    "p2p_handoff/agent/takes.py": "tests/agent/test_take.py",
    "p2p_handoff/agent/under_way.py": "tests/agent/test_session_handoff_7.py",
    "p2p_handoff/cli/agent_commands.py": "tests/cli/test_commands.py",
    "p2p_handoff/cli/agent_process.py": "tests/cli/test_commands.py",
    "p2p_handoff/cli/settings_file.py": "tests/cli/test_config_commands.py",
    "p2p_handoff/cli/session_commands.py": "tests/cli/test_commands.py",
    "p2p_handoff/content/wellformed.py": "tests/content/test_objects.py",
    "p2p_handoff/discovery/publisher.py": "tests/discovery/test_mdns.py",
    "p2p_handoff/engines/aiortc_engine.py": "tests/engines/test_conformance.py",
    "p2p_handoff/engines/base.py": "tests/engines/test_conformance.py",
    "p2p_handoff/engines/negotiation.py": "tests/engines/test_conformance.py",
    "p2p_handoff/errors.py": "tests/test_documents.py",
    "p2p_handoff/protocol/channels.py": "tests/protocol/test_connection.py",
    "p2p_handoff/protocol/messages/asking.py": "tests/protocol/test_codec.py",
    "p2p_handoff/protocol/messages/circle.py": "tests/protocol/test_codec.py",
    "p2p_handoff/protocol/messages/connection.py": "tests/protocol/test_codec.py",
    "p2p_handoff/protocol/messages/fields.py": "tests/protocol/test_codec.py",
    "p2p_handoff/protocol/messages/handoff.py": "tests/protocol/test_codec.py",
    "p2p_handoff/protocol/messages/news.py": "tests/protocol/test_codec.py",
    "p2p_handoff/protocol/outcome.py": "tests/protocol/test_source_rules.py",
    "p2p_handoff/protocol/source.py": "tests/protocol/test_source_rules.py",
    "p2p_handoff/protocol/target.py": "tests/protocol/test_target_rules.py",
    "p2p_handoff/session/statements.py": "tests/session/test_statement_codec.py",
    "p2p_handoff/store/ownership_rows.py": "tests/store/test_ownership.py",
    "p2p_handoff/store/records.py": "tests/store/test_sessions.py",
    "p2p_handoff/testing/adapter_conformance.py": "tests/adapters/test_folder_conformance.py",
    "p2p_handoff/testing/kept_conformance.py": "tests/adapters/test_folder_conformance.py",
    "p2p_handoff/testing/engine_conformance.py": "tests/engines/test_conformance.py",
    "signaling/messages.py": "tests/signaling/test_wire.py",
}
"""Module → the tests that run most of it; coverage was looked at when a row was added."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of all modules that are imported anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def expected_test(module: Path) -> Path:
    """Where the tests of a module are: ``tests/<package>/test_<module>.py``."""
    inside = module.relative_to(ROOT)
    package = inside.parent.relative_to("p2p_handoff") if inside.parts[0] == "p2p_handoff" else inside.parent
    return ROOT / "tests" / package / f"test_{module.stem.strip('_')}.py"


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_a_module_opens_with_its_licence_and_its_role(module: Path) -> None:
    text = module.read_text()
    assert text.startswith(f"{SPDX}\n")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    if module.name != "__init__.py" and module.is_relative_to(ROOT / "p2p_handoff"):
        assert "Layer:" in docstring, f"{relative(module)} does not say its layer"


@pytest.mark.parametrize("package", PURE)
def test_a_pure_package_stays_pure(package: str) -> None:
    for module in sorted((ROOT / "p2p_handoff" / package).rglob("*.py")):
        impure = imported(ast.parse(module.read_text())) & IMPURE
        assert not impure, f"{relative(module)} imports {', '.join(impure)}"


@pytest.mark.parametrize("module", [path for path in MODULES if path.name != "__init__.py"], ids=relative)
def test_a_module_has_tests_of_its_name_or_is_covered_by_others(module: Path) -> None:
    name = relative(module)
    if name in WITHOUT_CODE:
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(module.read_text()).body)
    elif expected_test(module).is_file():
        assert name not in COVERED_ELSEWHERE, f"{name} has tests of its own now: take it out of the table"
    else:
        assert name in COVERED_ELSEWHERE, f"{name} has no {relative(expected_test(module))}"


@pytest.mark.parametrize(("module", "test"), sorted(COVERED_ELSEWHERE.items()))
def test_the_table_of_exceptions_names_files_that_exist(module: str, test: str) -> None:
    assert (ROOT / module).is_file()
    assert (ROOT / test).is_file()


SECRET_FIELDS = frozenset(("secret", "credential", "password", "private_key", "signing_key"))


def _fields_of_dataclasses(tree: ast.Module) -> list[tuple[str, ast.AnnAssign]]:
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [
        (f"{owner.name}.{ast.unparse(item.target)}", item)
        for owner in classes
        if any("dataclass" in ast.unparse(decorator) for decorator in owner.decorator_list)
        for item in owner.body
        if isinstance(item, ast.AnnAssign)
    ]


def test_what_is_secret_is_in_no_repr() -> None:
    """A dataclass prints its fields wherever it is logged or stands in a message."""
    shown = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in MODULES
        for name, item in _fields_of_dataclasses(ast.parse(path.read_text()))
        if name.rpartition(".")[2] in SECRET_FIELDS and "repr=False" not in ast.unparse(item)
    ]
    assert shown == []
