//! Losses; `reduction` is 0 for none, 1 for the mean, 2 for the sum.

use crate::args::Args;
use crate::rows;
use crate::table::Row;
use corten_core::error::Result;
use corten_core::ops::loss::{self, Reduce};

fn reduction(a: &Args, op: &str, i: usize) -> Result<Reduce> {
    Reduce::from_code(op, a.int(i))
}

pub fn rows() -> Vec<Row> {
    rows! {
        "mse_loss(Tensor self, Tensor target, int reduction=1)" fo "(x − y)²." |a| loss::mse_loss(a.tensor(0), a.tensor(1), reduction(a, "mse_loss", 2)?)?;
        "l1_loss(Tensor self, Tensor target, int reduction=1)" f "|x − y|." |a| loss::l1_loss(a.tensor(0), a.tensor(1), reduction(a, "l1_loss", 2)?)?;
        "smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.0)" fo "|x − y|, squared where it is below β." |a| loss::smooth_l1_loss(a.tensor(0), a.tensor(1), reduction(a, "smooth_l1_loss", 2)?, a.float(3))?;
        "huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.0)" fo "½(x − y)², growing linearly beyond δ." |a| loss::huber_loss(a.tensor(0), a.tensor(1), reduction(a, "huber_loss", 2)?, a.float(3))?;
        "binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1)" fo "−(y log x + (1 − y) log(1 − x))." |a| loss::binary_cross_entropy(a.tensor(0), a.tensor(1), a.opt_tensor(2), reduction(a, "binary_cross_entropy", 3)?)?;
        "binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1)" f "Binary cross-entropy of sigmoid(x)." |a| loss::binary_cross_entropy_with_logits(a.tensor(0), a.tensor(1), a.opt_tensor(2), a.opt_tensor(3), reduction(a, "binary_cross_entropy_with_logits", 4)?)?;
        "kl_div(Tensor self, Tensor target, int reduction=1, bool log_target=False)" f "y (log y − x)." |a| loss::kl_div(a.tensor(0), a.tensor(1), reduction(a, "kl_div", 2)?, a.bool(3))?;
        "nll_loss_nd(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100)" f "−x at the target class." |a| loss::nll_loss(a.tensor(0), a.tensor(1), a.opt_tensor(2), reduction(a, "nll_loss", 3)?, a.int(4))?;
        "nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100)" fo "As `nll_loss_nd`." |a| loss::nll_loss(a.tensor(0), a.tensor(1), a.opt_tensor(2), reduction(a, "nll_loss", 3)?, a.int(4))?;
        "nll_loss2d(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100)" fo "As `nll_loss_nd`." |a| loss::nll_loss(a.tensor(0), a.tensor(1), a.opt_tensor(2), reduction(a, "nll_loss", 3)?, a.int(4))?;
        "cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100, float label_smoothing=0.0)" f "Cross-entropy of scores with class indices or probabilities." |a| loss::cross_entropy_loss(a.tensor(0), a.tensor(1), a.opt_tensor(2), reduction(a, "cross_entropy", 3)?, a.int(4), a.float(5))?;
    }
}
