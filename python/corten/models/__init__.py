"""Networks in the names of their papers, a file for each family, imported when one of its names is first used."""

import importlib as _importlib

# By file: the names that it holds.
_FILES = {
    "alphazero": "MCTS PolicyValueNet alphazero_loss evaluator mcts_player self_play",
    "bert": "Bert BertForMaskedLM BertForSequenceClassification bert_base mask_tokens mean_pool",
    "board_games": "LineGame MinimaxPlayer PerfectPlayer connect_four play_match random_player tic_tac_toe",
    "captioning": "Captioner VisualQuestionAnswering",
    "clip": "CLIP ImageTower TextTower clip_vit_b_32 info_nce",
    "dqn": "AtariQNetwork QNetwork ReplayBuffer dqn_loss epsilon_greedy",
    "forecasting": "LSTMForecaster NBeats PatchTST RevIN TCNForecaster pinball_loss",
    "generation": "KVCache beam_search generate sample",
    "gpt": "GPT gpt2 gpt2_large gpt2_medium gpt2_xl",
    "llama": "Llama llama2_7b llama3_8b smollm2_135m",
    "positions": "RelativePositionBias alibi_bias alibi_slopes apply_rotary rotary_table sinusoids",
    "ppo": "ActorCritic gae ppo_loss",
    "recommendation": "DLRM MatrixFactorization NeuMF TwoTower in_batch_softmax",
    "recurrent": "AttentionSeq2Seq BahdanauAttention BiLSTMTagger CharLSTM",
    "sac": "SAC SquashedGaussianActor TwinCritic soft_update",
    "t5": "T5 t5_base t5_small",
    "tabular": "AnomalyAutoencoder FTTransformer TabularMLP focal_loss positive_weight",
    "tcn": "CharTCN TCN TemporalBlock",
    "tokenizers": "ByteLevelBPE WordPiece",
    "vit": "ViT vit_b_16 vit_b_32 vit_l_16 vit_tiny_16",
}
_HOME = {name: file for file, names in _FILES.items() for name in names.split()}

__all__ = sorted([*_FILES, *_HOME])


def __getattr__(name):
    if name in _FILES:
        return _importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__():
    return __all__
