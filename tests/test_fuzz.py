"""The fixture `chatapi_fuzz`: a right reader passes, and each wrong one is found."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz_readers import BODY, MUTANTS, TWO, Reader, consumer_of


@pytest.mark.parametrize("body", [BODY, TWO, {**TWO, "n": 1}], ids=["tools", "n", "text"])
def test_a_right_reader_passes(chatapi_fuzz: Any, body: dict[str, Any]) -> None:
    chatapi_fuzz(consumer_of(Reader, body))


@pytest.mark.parametrize("name", MUTANTS)
def test_each_wrong_reader_is_found(chatapi_fuzz: Any, name: str) -> None:
    reader, body = MUTANTS[name]
    with pytest.raises(pytest.fail.Exception) as failure:
        chatapi_fuzz(consumer_of(reader, body))
    assert "the consumer" in str(failure.value)
