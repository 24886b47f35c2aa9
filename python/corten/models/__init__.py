"""Networks in the names of their papers, a file for each family, imported when one of its names is first used.

docs/models.md lists them. A network is made by a function, ``corten.models.resnet18(num_classes=10)``, or by the class
that the function calls.
"""

import importlib as _importlib

# A function that is called like its file is bound at once: the import of the file would put the file into its place.
from .alexnet import *  # noqa: F403
from .crepe import *  # noqa: F403
from .log_mel import *  # noqa: F403
from .silero_vad import *  # noqa: F403
from .unet import *  # noqa: F403

# By file: the names that it holds.
_FILES = {
    "alexnet": "AlexNet AlexNet2012 AlexNet28 alexnet alexnet2012 alexnet28",
    "alphazero": "MCTS PolicyValueNet alphazero_loss evaluator mcts_player self_play",
    "autoencoder": "DenoisingAutoencoder VAE VQVAE VectorQuantizer beta_vae denoising_autoencoder vae vqvae",
    "bert": "Bert BertForMaskedLM BertForSequenceClassification bert_base mask_tokens mean_pool",
    "board_games": "LineGame MinimaxPlayer PerfectPlayer connect_four play_match random_player tic_tac_toe",
    "captioning": "Captioner VisualQuestionAnswering",
    "clip": "CLIP ImageTower TextTower clip_vit_b_32 info_nce",
    "convnext": "ConvNeXt convnext_base convnext_large convnext_small convnext_tiny",
    "crepe": "CREPE crepe crepe_full crepe_large crepe_medium crepe_small crepe_tiny",
    "densenet": "DenseNet densenet121 densenet161 densenet169 densenet201",
    "diffusion": "Diffusion",
    "diffusion_unet": "DiffusionUNet TextEncoder ddpm_unet text_to_image_unet",
    "dqn": "AtariQNetwork QNetwork ReplayBuffer dqn_loss epsilon_greedy",
    "efficientnet": "EfficientNet efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 "
    "efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_lite0 efficientnet_lite1 "
    "efficientnet_lite2 efficientnet_lite3 efficientnet_lite4",
    "fcos": "FCOS fcos_resnet50 fcos_small",
    "forecasting": "LSTMForecaster NBeats PatchTST RevIN TCNForecaster pinball_loss",
    "gan": "Discriminator Generator conditional_gan critic_loss dcgan discriminator_hinge_loss discriminator_loss "
    "generator_loss gradient_penalty wgan_gp",
    "generation": "KVCache attention_mask beam_search filter_logits generate sample",
    "gpt": "GPT gpt2 gpt2_large gpt2_medium gpt2_xl",
    "inception": "Inception3 InceptionOutputs inception_v3",
    "llama": "Llama llama2_7b llama3_8b smollm2_135m",
    "log_mel": "LogMel log_mel mel_filters",
    "matching": "MatchingMetric MatchingSiamese MatchingView within_class_whitening",
    "mobilenet": "MobileNetV2 MobileNetV3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small",
    "positions": "RelativePositionBias alibi_bias alibi_slopes apply_rotary rotary_table sinusoids",
    "ppo": "ActorCritic gae ppo_loss",
    "recommendation": "DLRM MatrixFactorization NeuMF TwoTower in_batch_softmax",
    "recurrent": "AttentionSeq2Seq BahdanauAttention BiLSTMTagger CharLSTM",
    "resnet": "CifarResNet ResNet resnet101 resnet110 resnet152 resnet18 resnet20 resnet32 resnet34 resnet44 "
    "resnet50 resnet56 resnext101_32x8d resnext101_64x4d resnext50_32x4d wide_resnet101_2 wide_resnet50_2",
    "sac": "SAC SquashedGaussianActor TwinCritic soft_update",
    "shallow_deep": "cnn count_parameters mlp",
    "siamese": "EmbeddingNet SiameseNetwork batch_hard_triplet_loss contrastive_loss embedding_net siamese_network "
    "supervised_contrastive_loss",
    "silero_vad": "SileroVAD silero_vad silero_vad_weights",
    "squeezenet": "SqueezeNet squeezenet1_0 squeezenet1_1",
    "t5": "T5 t5_base t5_small",
    "tabular": "AnomalyAutoencoder FTTransformer TabularMLP focal_loss positive_weight",
    "tcn": "CharTCN TCN TemporalBlock",
    "tokenizers": "ByteLevelBPE WordPiece",
    "unet": "UNet unet unet_padded",
    "vgg": "VGG vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn",
    "vit": "ViT vit_b_16 vit_b_32 vit_l_16 vit_tiny_16",
}
_HOME = {name: file for file, names in _FILES.items() for name in names.split()}

__all__ = sorted([*_FILES, *_HOME])


def __getattr__(name):
    if name in _HOME:
        value = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        return value
    if name in _FILES:
        return _importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
