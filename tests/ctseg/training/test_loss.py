import math

import pytest
import torch
from torch.nn import functional

from ctseg.training.loss import allowed_planes, marginal_cross_entropy, partial_dice, partial_label_loss

SOFTMAX = torch.tensor([0.1, 0.2, 0.3, 0.4])


def one_pixel(allowed):
    probabilities = SOFTMAX.view(1, 4, 1, 1)
    return probabilities.log(), probabilities, allowed_planes(torch.tensor([[[allowed]]], dtype=torch.uint8))


def test_a_pixel_with_one_class_costs_its_cross_entropy():
    assert math.isclose(marginal_cross_entropy(*one_pixel(0b0100)).item(), -math.log(0.3), rel_tol=1e-6)


def test_a_pixel_with_two_classes_costs_minus_the_log_of_their_sum():
    assert math.isclose(marginal_cross_entropy(*one_pixel(0b1100)).item(), -math.log(0.7), rel_tol=1e-6)


def test_a_pixel_that_may_be_anything_costs_nothing():
    assert abs(marginal_cross_entropy(*one_pixel(0b1111)).item()) < 1e-6


def test_with_one_class_a_pixel_it_is_the_common_cross_entropy():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 4, 8, 8), torch.randint(0, 4, (2, 8, 8))
    allowed = (1 << truth).to(torch.uint8)
    assert torch.isclose(partial_label_loss(logits, allowed, 0.0), functional.cross_entropy(logits, truth))


@pytest.mark.parametrize("gap", [20.0, 80.0, 86.0, 300.0, 1e4])
def test_however_wrong_a_pixel_is_its_loss_has_the_slope_of_the_cross_entropy(gap):
    truth = torch.tensor([[[0, 1]]])
    ours, theirs = (torch.tensor([gap, 0.0, 0.0, 0.0]).view(1, 4, 1, 1).repeat(1, 1, 1, 2) for _ in range(2))
    for logits in (ours.requires_grad_(), theirs.requires_grad_()):
        if logits is ours:
            loss = partial_label_loss(logits, (1 << truth).to(torch.uint8), 0.0)
        else:
            loss = functional.cross_entropy(logits, truth)
        loss.backward()
        assert math.isclose(loss.item(), gap / 2, rel_tol=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_lost_pixel_of_several_classes_costs_what_the_likeliest_of_them_does():
    logits = torch.tensor([200.0, 0.0, 1.0, 1.0]).view(1, 4, 1, 1)
    found = partial_label_loss(logits, torch.tensor([[[0b1100]]], dtype=torch.uint8), 0.0)
    assert math.isclose(found.item(), 199 - math.log(2), rel_tol=1e-6)


def test_dice_is_zero_for_a_perfect_and_large_for_a_wrong_answer():
    truth = torch.arange(4).repeat_interleave(64 * 16).view(1, 64, 64)
    allowed = (1 << truth).to(torch.uint8)
    right = functional.one_hot(truth, 4).permute(0, 3, 1, 2).float()
    possible = allowed_planes(allowed)
    assert partial_dice(right, possible).item() < 1e-6
    assert partial_dice(right.roll(1, dims=1), possible).item() > 0.8


def test_a_lesion_of_open_kind_trains_lesion_but_neither_of_its_classes():
    possible = allowed_planes(torch.full((1, 64, 64), 0b1100, dtype=torch.uint8))
    halves = torch.tensor([0.0, 0.0, 0.5, 0.5]).view(1, 4, 1, 1).expand(1, 4, 64, 64)
    ground_glass = torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 4, 1, 1).expand(1, 4, 64, 64)
    assert partial_dice(halves, possible).item() == partial_dice(ground_glass, possible).item()


def test_dice_leaves_out_a_pixel_that_may_be_a_class_or_another():
    allowed = torch.full((1, 64, 64), 0b0010, dtype=torch.uint8)
    allowed[:, :32] = 0b0110
    lung = torch.tensor([0.0, 1.0, 0.0, 0.0]).view(1, 4, 1, 1).repeat(1, 1, 64, 64)
    assert partial_dice(lung, allowed_planes(allowed)).item() < 1e-6
    lung[:, :, :32] = torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 4, 1, 1)
    assert partial_dice(lung, allowed_planes(allowed)).item() < 1e-6


def test_a_pixel_that_the_network_is_sure_and_wrong_of_is_learnt_from():
    logits = torch.tensor([40.0, -40.0, -40.0, -40.0]).view(1, 4, 1, 1).requires_grad_()
    loss = partial_label_loss(logits, torch.tensor([[[0b0010]]], dtype=torch.uint8), 0.0)
    loss.backward()
    assert math.isclose(loss.item(), 80, rel_tol=1e-5)
    assert logits.grad is not None
    assert torch.allclose(logits.grad.flatten(), torch.tensor([1.0, -1.0, 0.0, 0.0]), atol=1e-5)


def test_gradients_are_finite_where_the_network_is_sure_and_wrong():
    logits = torch.tensor([80.0, -80.0, -80.0, -80.0]).view(1, 4, 1, 1).requires_grad_()
    partial_label_loss(logits, torch.tensor([[[0b0010]]], dtype=torch.uint8), 1.0).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_teachers_probabilities_add_their_cross_entropy():
    logits, anything = (
        SOFTMAX.log().view(1, 4, 1, 1).repeat(1, 1, 2, 1),
        torch.full((1, 2, 1), 0b1111, dtype=torch.uint8),
    )
    told = torch.tensor([51, 102, 102, 0], dtype=torch.uint8).view(1, 4, 1, 1).repeat(1, 1, 2, 1)
    expected = -sum(share * math.log(one) for share, one in ((0.2, 0.1), (0.4, 0.2), (0.4, 0.3)))
    assert partial_label_loss(logits, anything, 0.0, told).item() == pytest.approx(expected)


def test_dice_counts_as_much_as_its_weight_says():
    torch.manual_seed(0)
    logits, allowed = torch.randn(2, 4, 8, 8), (1 << torch.randint(0, 4, (2, 8, 8))).to(torch.uint8)
    dice = partial_dice(logits.softmax(dim=1), allowed_planes(allowed))
    found = partial_label_loss(logits, allowed, 0.5) - partial_label_loss(logits, allowed, 0.0)
    assert found.item() == pytest.approx(0.5 * dice.item(), rel=1e-4)


def test_a_lesion_of_open_kind_is_missed_as_lesion():
    """Of five terms, that of lung and that of lesion are wrong."""
    possible = allowed_planes(torch.full((1, 64, 64), 0b1100, dtype=torch.uint8))
    lung = torch.tensor([0.0, 1.0, 0.0, 0.0]).view(1, 4, 1, 1).expand(1, 4, 64, 64)
    assert partial_dice(lung, possible).item() == pytest.approx(2 / 5, abs=0.01)
