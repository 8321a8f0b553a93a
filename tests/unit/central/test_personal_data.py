"""People's data: sealed, found by hashes, exported whole, and seen by nobody unnoticed."""

import msgspec
import pytest

from central.errors import BadRequestError, ConfigurationError, NotFoundError
from central.privacy.customers import Consent, CustomerData, CustomerDesk
from central.privacy.exporting import SECTIONS, export_customer
from central.privacy.personal_keys import PersonalKeys
from central.staff.audit import read_audit
from tests.support.centre import JoinedCentre

OLD, NEW = b"o" * 32, b"n" * 32
ANNA = CustomerData(
    name="Анна Kāpiņa", phones=("+371 20-000-001",), mails=("Anna@Example.org",), language="lv"
)


def desk_of(centre: JoinedCentre, *personal: bytes) -> CustomerDesk:
    return CustomerDesk(centre.pool, PersonalKeys(personal or (OLD,), b"c" * 32), centre.system)


async def test_what_was_written_is_read_and_nothing_of_it_lies_open(centre: JoinedCentre) -> None:
    await centre.customer(7, 300)
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    assert (await desk.view(7, person="ann")).data == ANNA
    dump = await centre.pool.fetch("select * from personal.customer, personal.contact, audit")
    kept = b"".join(str(each).encode() if not isinstance(each, bytes) else each
                    for row in dump for each in row)  # fmt: skip
    for word in ("Анна", "Kāpiņa", "20-000-001", "37120000001", "example"):
        assert word.encode() not in kept
        assert word.encode().lower() not in kept.lower()


async def test_a_customer_is_found_however_the_number_is_written(centre: JoinedCentre) -> None:
    await centre.customer(7)
    await centre.customer(8)
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    assert await desk.find("phone", "+37120000001", person="ann") == (7,)
    assert await desk.find("mail", " anna@example.ORG", person="ann") == (7,)
    assert await desk.find("mail", "+37120000001", person="ann") == ()
    await desk.put(7, CustomerData(name="Anna"), person="ann")
    assert await desk.find("phone", "+37120000001", person="ann") == ()


async def test_what_is_sealed_for_one_account_opens_for_no_other(centre: JoinedCentre) -> None:
    await centre.customer(7)
    await centre.customer(8)
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    await centre.pool.execute(
        "insert into personal.customer select 8, key_name, wrapped_key, sealed, 0"
        " from personal.customer"
    )
    with pytest.raises(ConfigurationError, match="do not open"):
        await desk.view(8, person="ann")


async def test_the_personal_key_is_replaced_without_touching_the_data(
    centre: JoinedCentre,
) -> None:
    for account_id in (7, 8):
        await centre.customer(account_id)
        await desk_of(centre).put(account_id, ANNA, person="ann")
    both = desk_of(centre, NEW, OLD)
    assert await both.rewrap_all(person="root") == 2
    assert await both.rewrap_all(person="root") == 0
    assert (await desk_of(centre, NEW).view(8, person="ann")).data == ANNA
    with pytest.raises(ConfigurationError, match="is not here"):
        await desk_of(centre, OLD).view(8, person="ann")


async def test_the_newest_word_of_a_purpose_counts(centre: JoinedCentre) -> None:
    await centre.customer(7)
    desk = desk_of(centre)
    await desk.say(7, Consent(purpose="mail", given=True, source="app"), person="ann")
    await desk.say(7, Consent(purpose="mail", given=False, source="form 4"), person="ann")
    (found,) = (await desk.view(7, person="ann")).consents
    assert (found.purpose, found.given, found.source) == ("mail", False, "form 4")


async def test_every_look_is_written_down(centre: JoinedCentre) -> None:
    await centre.customer(7)
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    await desk.view(7, person="bob")
    await desk.find("mail", "anna@example.org", person="eve")
    await export_customer(desk, 7, person="dan")
    async with centre.pool.acquire() as connection:
        rows = await read_audit(connection, subject="account:7")
    assert [(row.person, row.action) for row in rows] == [
        ("dan", "customer.export"), ("eve", "customer.find"), ("bob", "customer.view"),
        ("ann", "customer.put"),
    ]  # fmt: skip


async def test_what_is_no_telephone_is_refused_without_being_repeated(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7)
    desk = desk_of(centre)
    with pytest.raises(BadRequestError, match=r"^\$\.phones\[0\]: is no telephone number$"):
        await desk.put(7, CustomerData(phones=("call me",)), person="ann")
    with pytest.raises(NotFoundError):
        await desk.put(99, ANNA, person="ann")


async def test_an_export_holds_everything_of_the_customer_and_nothing_of_others(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card="seven")
    await centre.customer(8, 50, card="eight")
    till = await centre.till()
    await centre.post(till, till.sale("sale-seven", account=7, card="seven"))
    await centre.post(till, till.sale("sale-eight", account=8, card="eight"))
    desk = desk_of(centre)
    await desk.put(7, ANNA, person="ann")
    found = await export_customer(desk, 7, person="ann")
    whole = msgspec.json.decode(msgspec.json.encode(found))
    assert whole["persons"]["7"]["name"] == ANNA.name
    assert set(whole["sections"]) == set(SECTIONS)
    receipts = whole["sections"]["receipts"]
    assert [each["receipt"] for each in receipts] == ["sale-seven"]
    assert receipts[0]["calculation"]["lines"]
    assert (
        sum(each["available"] for each in whole["sections"]["lots"])
        == (await centre.totals(7)).posted
    )
    assert {each["kind"] for each in whole["sections"]["movements"]} == {"earn"}
    assert "sale-eight" not in msgspec.json.encode(found).decode()
