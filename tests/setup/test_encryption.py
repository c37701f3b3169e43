"""What is stored encrypted: only a key of the settings opens it, and keys can be replaced."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt, encrypted_anew

OLD, NEW = "an-old-key-0123456789", "a-new-key-0123456789"


@settings_of_hypothesis(max_examples=20)
@given(st.text())
def test_what_is_encrypted_comes_back_and_is_never_stored_twice_the_same(text: str) -> None:
    first, second = encrypt(text), encrypt(text)
    assert decrypt(first) == decrypt(second) == text
    assert first != second
    assert len(text) < 4 or text not in first


def test_an_older_key_still_opens_and_the_first_one_encrypts(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    stored = encrypt("text")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert decrypt(stored) == "text"
    anew = encrypted_anew(stored)
    assert anew is not None
    assert encrypted_anew(anew) is None
    settings.ENCRYPTION_KEYS = [NEW]
    assert decrypt(anew) == "text"
    assert encrypted_anew(stored) is None


@pytest.mark.parametrize("stored", ["", "no cipher", "gAAAA", "ключ"])
def test_what_no_key_opens_is_said_so(settings: Any, stored: str) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    mine = encrypt("text")
    settings.ENCRYPTION_KEYS = [NEW]
    for text in (stored, mine, mine[:-4] + "AAA="):
        with pytest.raises(KeyChanged):
            decrypt(text)


def test_the_same_key_is_another_one_for_everything_else_that_is_made_of_it(settings: Any) -> None:
    """Whoever has a signature or session made by SECRET_KEY has no key to what is encrypted."""
    from base64 import urlsafe_b64encode
    from hashlib import sha256

    from cryptography.fernet import Fernet, InvalidToken

    settings.ENCRYPTION_KEYS = [OLD]
    with pytest.raises(InvalidToken):
        Fernet(urlsafe_b64encode(sha256(OLD.encode()).digest())).decrypt(encrypt("text").encode())
