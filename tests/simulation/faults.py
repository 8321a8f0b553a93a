"""How bad the world is: rates of every fault, as plain figures."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Rates of faults; requests in thousandths, the rest per day.

    Attributes:
        lost_requests: never arrive.
        lost_replies: the centre acts, the till hears nothing.
        late_repeats: the very same bytes arrive once more, up to hours later.
        slow_requests: arrive after seconds, most of them when nobody waits any more.
        lan_repeats: the very same question between siblings arrives once more, up to hours later.
        lan_late: a question arrives when nobody waits any more, after others.
        lan_stale: a sibling's earlier answer comes once more, in place of the one to this question;
            and its earlier gossip, after its present.
        lan_cuts_per_store_day: tills of the store do not hear each other, for hours.
        cuts_per_store_day: the store's line is down, up to `cut_hours_max`.
        kills_per_till_day: the agent's process ends at once; the machine's cache survives.
        power_cuts_per_till_day: at any moment, also between two writes of one transaction.
        spoiled_journals_per_till_day: the journal's file is damaged while the agent is down.
        restored_images_per_till_day: the disk as it was hours or days before comes back, one in two
            times with its anchor, so that only others can tell.
        full_disks_per_till_day: for hours no file may grow.
        read_only_disks_per_till_day: for hours nothing can be written.
        slow_disks_per_till_day: for hours each sync takes up to five seconds.
        clock_jumps_per_till_day: the machine's clock is off by up to ten years.
        failovers_per_day: the centre goes on with a copy that is minutes behind.
        dead_disks_per_till_day: the machine is gone for good; another till takes its place.
        lone_restores_per_day: an image comes back with its anchor while nobody can tell, in the
            middle of busy hours. Of them these shares: the store's line is down already when the
            image is made, its LAN is, and the anchor comes back, too.
        clones_per_day: a copy of a till's disk runs in a second machine beside the first.
        lost_and_found_per_day: a machine that sold offline is given up, and turns up again.
        held_back_per_day: a transaction stays open at the centre, for seconds or for hours.
        stalls_per_day: the centre keeps records and applies none for hours.
        phones_ms: how long a customer may take to show what the centre has sent.
        revoked_tills: how many tills are revoked during the run.
        blocks_per_day: an account is blocked for hours, some of them for good.
    """

    lost_requests: int = 0
    lost_replies: int = 0
    late_repeats: int = 0
    slow_requests: int = 0
    lan_repeats: int = 0
    lan_late: int = 0
    lan_stale: int = 0
    cuts_per_store_day: float = 0.0
    cut_hours_max: float = 12.0
    lan_cuts_per_store_day: float = 0.0
    kills_per_till_day: float = 0.0
    power_cuts_per_till_day: float = 0.0
    spoiled_journals_per_till_day: float = 0.0
    restored_images_per_till_day: float = 0.0
    full_disks_per_till_day: float = 0.0
    read_only_disks_per_till_day: float = 0.0
    slow_disks_per_till_day: float = 0.0
    clock_jumps_per_till_day: float = 0.0
    held_back_per_day: float = 0.0
    stalls_per_day: float = 0.0
    phones_ms: tuple[int, ...] = (1_000, 5_000, 600_000)
    failovers_per_day: float = 0.0
    dead_disks_per_till_day: float = 0.0
    lone_restores_per_day: float = 0.0
    lone_restores_off_line: float = 0.6
    lone_restores_off_lan: float = 0.5
    lone_restores_with_anchor: float = 0.8
    clones_per_day: float = 0.0
    lost_and_found_per_day: float = 0.0
    revoked_tills: int = 0
    blocks_per_day: float = 0.0


NONE = Faults()
"""The honest world: everything arrives and nothing breaks."""

LINE_ONLY = Faults(
    lost_requests=20,
    lost_replies=30,
    late_repeats=50,
    slow_requests=10,
    lan_repeats=50,
    lan_late=15,
    lan_stale=15,
    cuts_per_store_day=0.6,
    held_back_per_day=1.0,
    stalls_per_day=0.3,
)
"""The lines are bad and the machines are good."""

USUAL = Faults(
    lost_requests=20,
    lost_replies=30,
    late_repeats=50,
    slow_requests=10,
    lan_repeats=50,
    lan_late=15,
    lan_stale=15,
    cuts_per_store_day=0.6,
    lan_cuts_per_store_day=0.2,
    kills_per_till_day=0.6,
    power_cuts_per_till_day=0.8,
    spoiled_journals_per_till_day=0.06,
    restored_images_per_till_day=0.06,
    full_disks_per_till_day=0.1,
    read_only_disks_per_till_day=0.05,
    slow_disks_per_till_day=0.1,
    clock_jumps_per_till_day=0.15,
    held_back_per_day=1.0,
    stalls_per_day=0.3,
    failovers_per_day=0.1,
    dead_disks_per_till_day=0.01,
    lone_restores_per_day=0.15,
    clones_per_day=0.1,
    lost_and_found_per_day=0.1,
    revoked_tills=1,
    blocks_per_day=1.0,
)
"""Everything at once, far worse than a chain would bear."""

SOUND_DISKS = replace(
    USUAL,
    spoiled_journals_per_till_day=0.0,
    restored_images_per_till_day=0.0,
    full_disks_per_till_day=0.0,
    read_only_disks_per_till_day=0.0,
    slow_disks_per_till_day=0.0,
    failovers_per_day=0.0,
    dead_disks_per_till_day=0.0,
    lone_restores_per_day=0.0,
    clones_per_day=0.0,
    lost_and_found_per_day=0.0,
    revoked_tills=0,
)
"""Lines and processes fail as usual; nobody's memory is lost or comes back."""

YEARS = Faults(
    lost_requests=20,
    lost_replies=30,
    late_repeats=50,
    slow_requests=10,
    lan_repeats=50,
    lan_late=15,
    lan_stale=15,
    cuts_per_store_day=0.4,
    cut_hours_max=72.0,
    lan_cuts_per_store_day=0.2,
    kills_per_till_day=0.1,
    power_cuts_per_till_day=0.1,
    spoiled_journals_per_till_day=0.015,
    restored_images_per_till_day=0.008,
    full_disks_per_till_day=0.01,
    read_only_disks_per_till_day=0.005,
    slow_disks_per_till_day=0.02,
    clock_jumps_per_till_day=0.03,
    held_back_per_day=0.3,
    stalls_per_day=0.1,
    failovers_per_day=0.05,
    dead_disks_per_till_day=0.003,
    lone_restores_per_day=0.05,
    clones_per_day=0.03,
    lost_and_found_per_day=0.04,
    revoked_tills=1,
    blocks_per_day=0.2,
)
"""About what a bad year brings (design: sync 7.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the world is.

    Attributes:
        lanes_per_till: registers that call one till, so that receipts are open side by side.
        minutes_between_customers: on average, at one lane in opening hours.
        talk_minutes: after so long a till talks to the centre though nothing was sold.
        audit_hours: how often everything is audited.
        retry_share_max: of `talk_minutes`: after so long at most a till tries a dead line again.
        tend_hours: how often the centre does what is due about rights by time alone.
        lived_on_of: one world of so many, by its seed, is lived on after rest until every right of
            it is over.
        regulars: so many customers of a store come again and again in its busy hours.
    """

    stores: int = 3
    tills_per_store: int = 2
    lanes_per_till: int = 2
    customers: int = 20
    days: int = 4
    minutes_between_customers: float = 150.0
    talk_minutes: int = 150
    audit_hours: int = 4
    retry_share_max: float = 0.1
    tend_hours: int = 1
    lived_on_of: int = 4
    regulars: int = 4


A_MONTH = Size(
    tills_per_store=4,
    lanes_per_till=1,
    customers=30,
    days=30,
    minutes_between_customers=720.0,
    talk_minutes=720,
    audit_hours=24,
    retry_share_max=0.25,
    tend_hours=6,
)
"""About a till-year: few sales a day, and all that happens between them."""
