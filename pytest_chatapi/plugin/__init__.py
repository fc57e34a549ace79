"""The pytest plugin: its hooks and fixtures, found here by the entry point and by ``-p``.

A module in this folder must not have the name of a fixture, which it would hide.
"""

from pytest_chatapi.plugin.fixtures import (
    _chatapi_marked,
    _chatapi_recording,
    _chatapi_scenario,
    async_openai_client,
    chat_contract,
    chatapi,
    chatapi_async_client,
    chatapi_client,
    chatapi_config,
    chatapi_fuzz,
    chatapi_mock,
    chatapi_server,
    openai_client,
)
from pytest_chatapi.plugin.hooks import (
    pytest_addoption,
    pytest_collect_directory,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_configure_node,
    pytest_fixture_setup,
    pytest_generate_tests,
    pytest_load_initial_conftests,
    pytest_runtest_call,
    pytest_runtest_setup,
    pytest_runtest_teardown,
)

__all__ = [
    "_chatapi_marked",
    "_chatapi_recording",
    "_chatapi_scenario",
    "async_openai_client",
    "chat_contract",
    "chatapi",
    "chatapi_async_client",
    "chatapi_client",
    "chatapi_config",
    "chatapi_fuzz",
    "chatapi_mock",
    "chatapi_server",
    "openai_client",
    "pytest_addoption",
    "pytest_collect_directory",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_fixture_setup",
    "pytest_generate_tests",
    "pytest_load_initial_conftests",
    "pytest_runtest_call",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
]
