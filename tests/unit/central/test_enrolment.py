"""One-time codes: good for one till, forgiving of typing, refused in words."""

import re
from contextlib import AbstractContextManager

import msgspec
import pytest

from agent.cli import build_parser
from sync.enrolling import EnrolRequest
from sync.errors import RefusedError
from sync.signing import enrol_content
from tests.support.centre import KEYS, STORE, JoinedCentre


def refused(text: str) -> AbstractContextManager[pytest.ExceptionInfo[RefusedError]]:
    return pytest.raises(RefusedError, match=f"^enrolment_refused: .*{text}")


async def test_a_code_makes_one_till_of_the_store_and_slot_it_was_made_for(
    centre: JoinedCentre,
) -> None:
    code = await centre.code(slot="7")
    answer = await centre.enrol_with(code, centre.new_key())
    assert (answer.place.store, answer.place.region, answer.place.banner) == (
        STORE,
        "north",
        "green",
    )
    assert answer.place.till == str(answer.till_id)
    assert answer.centre_key == KEYS.centre.public
    assert answer.rule_keys == KEYS.rule_public
    assert answer.card_key == KEYS.card_key
    assert answer.server_time_ms == centre.system.at_ms
    slot = await centre.pool.fetchval("select slot from till where till_id = $1", answer.till_id)
    assert slot == "7"


async def test_a_second_till_with_the_same_code_is_refused_in_words(centre: JoinedCentre) -> None:
    code = await centre.code()
    await centre.enrol_with(code, centre.new_key())
    with refused("used by another till; ask for a new one"):
        await centre.enrol_with(code, centre.new_key())
    assert await centre.pool.fetchval("select count(*) from till") == 1


async def test_the_same_key_repeats_and_gets_the_same_answer(centre: JoinedCentre) -> None:
    code, key = await centre.code(), centre.new_key()
    first = await centre.enrol_with(code, key)
    centre.system.pass_days(30)  # the code is long over; the answer may have been lost all the same
    again = await centre.enrol_with(code, key)
    later = msgspec.structs.replace(first, server_time_ms=centre.system.at_ms)
    assert again == later
    assert await centre.pool.fetchval("select count(*) from till") == 1


async def test_a_code_is_forgiving_of_how_people_type(centre: JoinedCentre) -> None:
    code = await centre.code()
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    await centre.enrol_with(typed, centre.new_key())


async def test_a_mistyped_code_is_named_as_such(centre: JoinedCentre) -> None:
    code = await centre.code()
    other = "7" if code[3] != "7" else "8"
    with refused("mistyped"):
        await centre.enrol_with(code[:3] + other + code[4:], centre.new_key())
    with refused("not complete; it has 11 characters"):
        await centre.enrol_with(code[:-1], centre.new_key())


async def test_a_code_that_is_too_old_is_refused(centre: JoinedCentre) -> None:
    code = await centre.code()
    centre.system.pass_days(1)
    await centre.enrol_with(await centre.code(), centre.new_key())
    centre.system.at_ms += 1
    with refused("too old"):
        await centre.enrol_with(code, centre.new_key())


async def test_the_code_in_the_agents_help_is_one_that_could_be(centre: JoinedCentre) -> None:
    example = re.search(r"--code (\S+)", build_parser().epilog or "")
    assert example is not None
    with refused("unknown"):  # neither incomplete nor mistyped
        await centre.enrol_with(example[1], centre.new_key())


async def test_an_unknown_code_is_refused(centre: JoinedCentre) -> None:
    code = await centre.code()
    await centre.pool.execute("delete from enrolment_code")
    with refused("unknown"):
        await centre.enrol_with(code, centre.new_key())


async def test_a_key_that_is_not_proven_is_refused(centre: JoinedCentre) -> None:
    code, key, thief = await centre.code(), centre.new_key(), centre.new_key()
    bare = EnrolRequest(
        code=code, public_key=key.public, hardware="probe", nonce=b"n" * 16, signature=b""
    )
    forged = msgspec.structs.replace(bare, signature=thief.sign(enrol_content(bare)))
    with refused("not signed by the key it brings"):
        await centre.enrol(forged)
    assert await centre.pool.fetchval("select count(*) from till") == 0


async def test_a_key_belongs_to_one_till(centre: JoinedCentre) -> None:
    key = centre.new_key()
    await centre.enrol_with(await centre.code(), key)
    with refused("belongs to a till already"):
        await centre.enrol_with(await centre.code(), key)


async def test_a_body_that_is_no_enrolment_is_named(centre: JoinedCentre) -> None:
    response = await centre.http.post("/v1/enrol", content=b"\xc1")
    assert response.status_code == 400
    assert b"message_malformed" in response.content


async def test_nobody_makes_the_centre_keep_much_for_an_enrolment(centre: JoinedCentre) -> None:
    response = await centre.http.post("/v1/enrol", content=b"\0" * 16_385)
    assert response.status_code == 400
    assert b"a body has at most 16384 bytes" in response.content
