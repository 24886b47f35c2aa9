//! The payload of Fourier transforms.

/// Fourier transforms of pairs of real numbers, `[x, scale, inner]`. Sums are multiplied by `scale`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fourier {
    /// Σ_j x_j·e^(−2πi·jk/n), pairs to pairs.
    Forward,
    /// Σ_k x_k·e^(2πi·jk/n), pairs to pairs.
    Backward,
    /// Real numbers to the first n/2 + 1 pairs of their forward transform; all but the first and, of even sizes, the last of
    /// these are multiplied by `inner` as well.
    FromReal,
    /// The first n/2 + 1 pairs of a spectrum whose other half are conjugates to real numbers, one dim only; the same pairs
    /// are multiplied by `inner` first. The imaginary parts of the others are not read.
    ToReal,
}

impl Fourier {
    pub const fn name(self) -> &'static str {
        match self {
            Fourier::Forward => "fft",
            Fourier::Backward => "ifft",
            Fourier::FromReal => "rfft",
            Fourier::ToReal => "irfft",
        }
    }
}
