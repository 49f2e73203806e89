"""KL schedules at their corners."""

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.schedules import KLSchedule


def test_constant_is_its_weight_from_the_first_update():
    schedule = KLSchedule.named("constant", 0.7, warmup=0, cycle=0)
    assert [schedule(step) for step in (0, 1, 10**6)] == [0.7, 0.7, 0.7]


def test_linear_rises_once():
    schedule = KLSchedule.named("linear", 2.0, warmup=4, cycle=0)
    assert [schedule(step) for step in range(7)] == [0, 0.5, 1, 1.5, 2, 2, 2]


def test_cyclical_rises_in_the_first_half_of_each_cycle():
    """a = 5 is where the weight is reached, c = 10 the length of a cycle (Fu et al., 2019, with R = 0.5)."""
    schedule = KLSchedule.named("cyclical", 1.0, warmup=0, cycle=10)
    assert {step: schedule(step) for step in (0, 5, 9, 10)} == {0: 0, 5: 1, 9: 1, 10: 0}
    assert [schedule(step) for step in range(20)] == 2 * [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]


def test_cyclical_takes_a_warmup_of_its_own():
    schedule = KLSchedule.named("cyclical", 1.0, warmup=2, cycle=8)
    assert [schedule(step) for step in range(9)] == [0, 0.5, 1, 1, 1, 1, 1, 1, 0]


def test_the_released_japanese_cycle():
    """kla9387.cycle18775 (Sato et al., 2021): one epoch a cycle, half of it rising."""
    schedule = KLSchedule.named("cyclical", 1.0, warmup=0, cycle=18775)
    assert schedule.warmup == 9387
    assert schedule(9386) < 1 == schedule(9387)


def test_a_cycle_of_one_update_is_defined():
    assert KLSchedule.named("cyclical", 1.0, warmup=0, cycle=1)(5) == 0


@pytest.mark.parametrize(
    "name, weight, warmup, cycle, remedy",
    [
        ("constant", -0.1, 0, 0, "--kl-weight -0.1 is negative; remedy"),
        ("linear", 1.0, 0, 0, "--kl-warmup UPDATES"),
        ("linear", 1.0, -5, 0, "--kl-warmup UPDATES"),
        ("cyclical", 1.0, 0, 0, "--kl-cycle UPDATES"),
        ("cyclical", 1.0, 20, 10, "longer than its --kl-cycle 10; remedy"),
        ("cyclical", 1.0, -1, 10, "can't be negative"),
        ("sigmoid", 1.0, 0, 0, "remedy: constant, linear or cyclical"),
    ],
)
def test_wrong_values_say_the_remedy(name, weight, warmup, cycle, remedy):
    with pytest.raises(InputError, match=remedy) as error:
        KLSchedule.named(name, weight, warmup, cycle)
    assert "\n" not in str(error.value)


def test_a_schedule_is_frozen():
    with pytest.raises(AttributeError):
        KLSchedule().weight = 2.0
