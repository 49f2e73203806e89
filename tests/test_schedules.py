"""KL schedules at their corners, and the controller of a set point."""

import math
import re

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.schedules import KLController, KLSchedule


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


# --- a set point -----------------------------------------------------------------------------------------------------


def test_a_controller_by_hand():
    """Shao et al. (2020), algorithm 1, with Kp = .01 and Ki = .0001."""
    controller = KLController(3.0)
    assert controller.weight == 0
    total = 0.0
    for kl in (13.0, 8.0, 4.0):
        controller.observe(kl)
        total += 0.0001 * (kl - 3)
        assert controller.weight == pytest.approx(0.01 / (1 + math.exp(3 - kl)) + total)
    assert total == pytest.approx(0.0016)


@pytest.mark.parametrize("set_point, weight", [(3.0, 0.7), (8.0, 0.2)])
def test_a_controller_finds_the_weight(set_point, weight):
    """A model whose KL is 10 (1 - weight) nats."""
    controller = KLController(set_point)
    for _ in range(20_000):
        controller.observe(10 * (1 - controller.weight))
        assert 0 <= controller.weight <= 1
    assert controller.weight == pytest.approx(weight, abs=0.01) and not controller.ended


def test_a_controller_comes_back_from_a_large_error():
    controller = KLController(3.0)
    controller.observe(1e6)
    assert controller.weight == 1
    for _ in range(4_000):  # each takes .0003 off
        controller.observe(0.0)
    assert controller.weight == 0


@pytest.mark.parametrize("kl, said", [
    (2.0, "--kl-set-point 3: for 500 updates the KL has been below, with a weight of 0: .*remedy: a lower one"),
    (9.0, "--kl-set-point 3: for 500 updates the KL has been above, with a weight of 0.5; remedy: a higher one"),
])  # fmt: skip
def test_a_set_point_out_of_reach_is_told_of_once(kl, said):
    controller, told = KLController(3.0, most=0.5), []
    for _ in range(4_000):
        controller.observe(kl)
        told += [controller.unreached] if controller.unreached else []
    (line,) = told
    assert re.fullmatch(f"{said}.*", line)


def test_a_set_point_within_reach_is_not_told_of():
    controller = KLController(3.0)
    for update in range(4_000):
        controller.observe(2.0 if update % 400 else 4.0)
        assert not controller.unreached


def test_a_controllers_state_is_all_of_it():
    controller, again = KLController(3.0), KLController(3.0)
    for kl in (13.0, 8.0, 4.0, 2.0):
        controller.observe(kl)
    again.load_state_dict(controller.state_dict())
    assert again == controller
