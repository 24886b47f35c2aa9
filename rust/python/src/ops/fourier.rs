//! Fourier transforms: what `corten.fft` is written in.

use crate::rows;
use crate::table::Row;
use corten_core::ops::fft;

pub fn rows() -> Vec<Row> {
    rows! {
        "_fourier(Tensor self, int[] dim, float scale, bool forward)" f "Σ x·e^(∓2πi·jk/n) over dims of a complex tensor, times `scale`." |a| fft::transform(a.tensor(0), a.ints(1), a.float(2), a.bool(3))?;
        "_fourier_of_real(Tensor self, int[] dim, float scale)" f "The forward transform of a real tensor, with the first half of the last of the dims." |a| fft::transform_real(a.tensor(0), a.ints(1), a.float(2))?;
        "_fourier_to_real(Tensor self, int[] dim, float scale, int n)" f "The backward transform of half a symmetric spectrum, with `n` real numbers in the last of the dims." |a| fft::inverse_real(a.tensor(0), a.ints(1), a.float(2), a.int(3))?;
    }
}
