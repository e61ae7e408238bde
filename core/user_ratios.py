"""Ratios of sums over users by the delta method, and CUPED, which takes out what a user's past explains."""

import numpy as np

from core.two_means import Effect, Floats, normal_effect


def delta_ratio(numerators: Floats, denominators: Floats) -> tuple[float, float]:
    """Sum over sum (thumbs up a rated reply, say) and its standard error, users being independent and replies not.

    Deng, Knoblich, Lu (KDD 2018): the variance of the user's residual, over the squared mean denominator.
    """
    n = len(numerators)
    ratio = float(numerators.sum() / denominators.sum())
    residuals = numerators - ratio * denominators
    return ratio, float(np.sqrt(np.square(residuals).sum() / (n - 1) / n) / denominators.mean())


def ratio_difference(control: tuple[Floats, Floats], challenger: tuple[Floats, Floats], alpha: float = 0.05) -> Effect:
    """Difference of two ratios of sums; each arm is its numerators and denominators, one a user."""
    (before, error1), (after, error2) = delta_ratio(*control), delta_ratio(*challenger)
    return normal_effect(after - before, float(np.hypot(error1, error2)), alpha)


def cuped(control: tuple[Floats, Floats], challenger: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The values of both arms with what the past explains taken out; each arm is its values and pasts, one a user.

    Deng, Xu, Kohavi, Walker (WSDM 2013), with the slope within arms, so that the difference of the adjusted means is
    that of the analysis of covariance.
    """
    past = np.concatenate([control[1], challenger[1]])
    centred = [(values - values.mean(), pasts - pasts.mean()) for values, pasts in (control, challenger)]
    spread = sum(float(np.square(x).sum()) for _, x in centred)
    slope = 0.0 if spread == 0.0 else sum(float((x * y).sum()) for y, x in centred) / spread
    adjusted = [values - slope * (pasts - past.mean()) for values, pasts in (control, challenger)]
    return adjusted[0], adjusted[1]
