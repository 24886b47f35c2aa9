//! Normalisation, softmax, attention, recurrent layers, parametric activations and bilinear forms.

use crate::args::Args;
use crate::rows;
use crate::table::{Ret, Row};
use corten_core::bail;
use corten_core::error::Result;
use corten_core::op::fused::Cell;
use corten_core::ops::attention::{Options, scaled_dot_product_attention};
use corten_core::ops::rnn::{Layer, layer};
use corten_core::ops::softmax::softmax;
use corten_core::ops::{norm, parametric};
use corten_core::tensor::Tensor;

fn attention(a: &Args) -> Result<Tensor> {
    let options = Options {
        mask: a.opt_tensor(3),
        dropout: a.float(4),
        causal: a.bool(5),
        scale: a.opt_float(6),
        grouped: a.bool(7),
    };
    scaled_dot_product_attention(a.tensor(0), a.tensor(1), a.tensor(2), &options)
}

fn recurrent(a: &Args) -> Result<Vec<Tensor>> {
    let cell = match a.str(0) {
        "RNN_TANH" => Cell::Tanh,
        "RNN_RELU" => Cell::Relu,
        "LSTM" => Cell::Lstm,
        "GRU" => Cell::Gru,
        other => bail!(Value, "Unrecognized RNN mode: {other}"),
    };
    layer(&Layer {
        cell,
        x: a.tensor(1),
        h: a.tensor(2),
        c: a.opt_tensor(3),
        weights: [a.tensor(4), a.tensor(5)],
        biases: a.opt_tensor(6).zip(a.opt_tensor(7)).map(|(ih, hh)| [ih, hh]),
        sizes: a.opt_tensor(8),
        steps: a.int(9).max(0) as usize,
        reverse: a.bool(10),
    })
}

type Channels = fn(&Tensor, [Option<&Tensor>; 2], [Option<&Tensor>; 2], bool, f64, f64) -> Result<Tensor>;

/// Batch or instance normalisation with the positions of the running statistics and of weight and bias.
fn channels(f: Channels, a: &Args, running: usize, affine: usize) -> Result<Tensor> {
    let pair = |i: usize| [a.opt_tensor(i), a.opt_tensor(i + 1)];
    f(a.tensor(0), pair(running), pair(affine), a.bool(5), a.float(6), a.float(7))
}

pub fn rows() -> Vec<Row> {
    rows! {
        "softmax(Tensor self, int dim, dtype? dtype=None)" fmo "eˣ / Σ eˣ along a dim." |a| softmax(false, a.tensor(0), a.int(1), a.dtype(2))?;
        "log_softmax(Tensor self, int dim, dtype? dtype=None)" fmo "The logarithm of softmax." |a| softmax(true, a.tensor(0), a.int(1), a.dtype(2))?;
        "layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-5, bool cudnn_enable=True)" f "Mean 0 and variance 1 over the last dims." |a| norm::layer_norm(a.tensor(0), a.ints(1), a.opt_tensor(2), a.opt_tensor(3), a.float(4))?;
        "rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None)" f "Division by the root mean square over the last dims." |a| norm::rms_norm(a.tensor(0), a.ints(1), a.opt_tensor(2), a.opt_float(3))?;
        "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-5, bool cudnn_enabled=True)" f "Mean 0 and variance 1 over groups of channels." |a| norm::group_norm(a.tensor(0), a.int(1), a.opt_tensor(2), a.opt_tensor(3), a.float(4))?;
        "batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled)" f "Mean 0 and variance 1 of every channel over the batch." |a| channels(norm::batch_norm, a, 3, 1)?;
        "batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight=None, Tensor? bias=None, bool training=False, float momentum=0.1, float eps=1e-5)" f "" |a| channels(norm::batch_norm, a, 1, 3)?;
        "instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, float eps, bool cudnn_enabled)" f "Mean 0 and variance 1 of every channel of every sample." |a| channels(norm::instance_norm, a, 3, 1)?;
        "instance_norm(Tensor input, Tensor? running_mean=None, Tensor? running_var=None, Tensor? weight=None, Tensor? bias=None, bool use_input_stats=True, float momentum=0.1, float eps=1e-5)" f "" |a| channels(norm::instance_norm, a, 1, 3)?;
        "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False)" f "softmax(scale · q kᵀ + mask) v." |a| attention(a)?;
        "_recurrent(str mode, Tensor x, Tensor h, Tensor? c, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, Tensor? batch_sizes, int steps, bool reverse)" f "A recurrent layer over packed rows: all states, and the last ones." |a| Ret::Tuple(recurrent(a)?);
        "prelu(Tensor self, Tensor weight)" fm "x above 0, weight · x below." |a| parametric::prelu(a.tensor(0), a.tensor(1))?;
        "glu(Tensor self, int dim=-1)" fo "a · sigmoid(b) of the halves a and b along a dim." |a| parametric::glu(a.tensor(0), a.int(1))?;
        "bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None)" f "x1ᵀ W x2 + b over the last dims." |a| parametric::bilinear(a.tensor(0), a.tensor(1), a.tensor(2), a.opt_tensor(3))?;
    }
}
