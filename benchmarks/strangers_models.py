"""Models of packages of other people, small enough for a real training step: what `strangers.py` runs.

Each case is a function that returns a module and what its forward is called with; it is named as in the document, and
says the package on PyPI that it comes from. All weights are random: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["CASES", "Case"]

Made = tuple[nn.Module, tuple[Any, ...] | dict[str, Any]]
"""A module, and the arguments of its forward: by position or by name."""


@dataclass(frozen=True)
class Case:
    """A model to try.

    Attributes:
        name: as the document calls it.
        package: its name on PyPI.
        make: builds the module and the arguments of its forward, by position or by name.
        trains: whether a training step makes sense.
        assume: what to state of its data, as for `--assume`.
    """

    name: str
    package: str
    make: Callable[[], Made]
    trains: bool = True
    assume: Mapping[str, int] | None = None


CASES: list[Case] = []


def case(
    name: str, package: str, *, trains: bool = True, assume: Mapping[str, int] | None = None
) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    def add(make: Callable[[], Made]) -> Callable[[], Made]:
        CASES.append(Case(name, package, make, trains, assume))
        return make

    return add


def image(batch: int = 2, side: int = 64, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, channels, side, side)


def tokens(batch: int = 2, length: int = 64, most: int = 1000) -> torch.Tensor:
    return torch.randint(1, most, (batch, length))


# Language


@case("LoRA of rank 16 on a Llama", "peft")
def lora() -> Made:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=1000, hidden_size=128, intermediate_size=344, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    adapter = LoraConfig(r=16, target_modules=["q_proj", "v_proj"], lora_dropout=0.0)
    return get_peft_model(LlamaForCausalLM(config), adapter), {"input_ids": tokens(), "use_cache": False}


@case("IA3 on a T5", "peft")
def ia3() -> Made:
    from peft import IA3Config, get_peft_model
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=1000, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4)
    model = get_peft_model(T5ForConditionalGeneration(config), IA3Config(task_type="SEQ_2_SEQ_LM"))
    return model, {"input_ids": tokens(), "decoder_input_ids": tokens(2, 32), "use_cache": False}


@case("Decoder of x-transformers, rotary", "x-transformers")
def x_decoder() -> Made:
    from x_transformers import Decoder, TransformerWrapper

    layers = Decoder(dim=128, depth=3, heads=4, rotary_pos_emb=True, ff_glu=True)
    return TransformerWrapper(num_tokens=1000, max_seq_len=128, attn_layers=layers), (tokens(),)


@case("LocalTransformer", "local-attention")
def local_attention() -> Made:
    from local_attention import LocalTransformer

    return LocalTransformer(num_tokens=1000, dim=128, depth=2, max_seq_len=128, local_attn_window_size=32), (
        tokens(2, 128),
    )


@case("Linear attention transformer", "linear-attention-transformer")
def linear_attention() -> Made:
    from linear_attention_transformer import LinearAttentionTransformerLM

    return LinearAttentionTransformerLM(num_tokens=1000, dim=128, heads=4, depth=2, max_seq_len=128), (tokens(2, 128),)


@case("Sentence encoder: BERT and mean pooling", "sentence-transformers")
def sentence() -> Made:
    from sentence_transformers.models import Pooling
    from transformers import BertConfig, BertModel

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = BertConfig(
                vocab_size=1000, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256
            )
            self.bert, self.pool = BertModel(config, add_pooling_layer=False), Pooling(128, "mean")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            found = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
            pooled = self.pool({"token_embeddings": found, "attention_mask": attention_mask})
            return pooled["sentence_embedding"]

    mask = torch.ones(2, 64, dtype=torch.int64)
    mask[1, 40:] = 0
    return Encoder(), {"input_ids": tokens(), "attention_mask": mask}


# Images


@case("U-Net with a ResNet-18 encoder", "segmentation-models-pytorch")
def smp_unet() -> Made:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, classes=4), (image(2, 128),)


@case("DeepLabV3+ with a MobileNetV2 encoder", "segmentation-models-pytorch")
def smp_deeplab() -> Made:
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus("mobilenet_v2", encoder_weights=None, classes=4), (image(2, 128),)


@case("ViT of lucidrains", "vit-pytorch")
def lucid_vit() -> Made:
    from vit_pytorch import ViT

    return ViT(image_size=64, patch_size=8, num_classes=100, dim=128, depth=3, heads=4, mlp_dim=256), (image(4),)


@case("MobileViT of lucidrains", "vit-pytorch")
def mobile_vit() -> Made:
    from vit_pytorch.mobile_vit import MobileViT

    model = MobileViT(
        image_size=(128, 128),
        dims=[48, 64, 80],
        channels=[16, 16, 24, 24, 32, 32, 48, 48, 64, 64, 160],
        num_classes=100,
    )
    return model, (image(2, 128),)


@case("EfficientNet-B0 with static padding", "efficientnet_pytorch")
def efficientnet() -> Made:
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name(
        "efficientnet-b0", image_size=96, num_classes=100, dropout_rate=0.0, drop_connect_rate=0.0
    ), (image(4, 96),)


@case("CLIP ViT, image and text", "open_clip_torch")
def clip() -> Made:
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    model = CLIP(
        64, CLIPVisionCfg(layers=3, width=128, head_width=32, patch_size=8, image_size=64),
        CLIPTextCfg(context_length=32, vocab_size=1000, width=128, heads=4, layers=2),
    )  # fmt: skip
    return model, (image(4), tokens(4, 32))


@case("YOLOv8n", "ultralytics")
def yolo8() -> Made:
    from ultralytics.nn.tasks import DetectionModel

    return DetectionModel("yolov8n.yaml", verbose=False), (image(1, 160),)


@case("YOLO11n", "ultralytics")
def yolo11() -> Made:
    from ultralytics.nn.tasks import DetectionModel

    return DetectionModel("yolo11n.yaml", verbose=False), (image(1, 160),)


@case("DenseNet-121 for X-rays", "torchxrayvision")
def xray() -> Made:
    import torchxrayvision as xrv

    return xrv.models.DenseNet(weights=None, num_classes=18), (image(2, 96, 1),)


@case("DISK keypoints", "kornia")
def disk() -> Made:
    from kornia.feature.disk import DISK

    class Heat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.disk = DISK()

        def forward(self, x: torch.Tensor) -> Any:
            return self.disk.heatmap_and_dense_descriptors(x)

    return Heat(), (image(1, 96),)


@case("HardNet descriptors", "kornia")
def hardnet() -> Made:
    from kornia.feature import HardNet

    return HardNet(pretrained=False), (image(16, 32, 1),)


@case("LPIPS on AlexNet", "lpips", trains=False)
def perceptual() -> Made:
    import lpips

    return lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False), (image(2), image(2))


@case("Scale hyperprior of Ballé 2018", "compressai")
def hyperprior() -> Made:
    from compressai.models import ScaleHyperprior

    return ScaleHyperprior(32, 48), (image(2),)


@case("Perceiver", "perceiver-pytorch")
def perceiver() -> Made:
    from perceiver_pytorch import Perceiver

    model = Perceiver(
        input_channels=3, input_axis=2, num_freq_bands=6, max_freq=10.0, depth=2, num_latents=32, latent_dim=64,
        num_classes=100, cross_dim_head=32, latent_heads=4, latent_dim_head=16,
    )  # fmt: skip
    return model, (torch.rand(2, 32, 32, 3),)


# Generation


@case("Conditional U-Net of Stable Diffusion, small", "diffusers")
def diffusion_unet() -> Made:
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(
        sample_size=16, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=64, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
    )  # fmt: skip
    return model, (torch.rand(2, 4, 16, 16), torch.tensor(7), torch.rand(2, 8, 64))


@case("Autoencoder of Stable Diffusion, small", "diffusers")
def autoencoder() -> Made:
    from diffusers import AutoencoderKL

    model = AutoencoderKL(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )  # fmt: skip
    return model, (image(2),)


@case("DiT", "diffusers")
def dit() -> Made:
    from diffusers import DiTTransformer2DModel

    model = DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=32, num_layers=3, sample_size=16, num_embeds_ada_norm=10
    )
    return model, {
        "hidden_states": torch.rand(2, 4, 16, 16),
        "timestep": torch.tensor([1, 7]),
        "class_labels": torch.tensor([0, 3]),
    }


@case("U-Net of DDPM", "denoising-diffusion-pytorch")
def ddpm() -> Made:
    from denoising_diffusion_pytorch import Unet

    return Unet(dim=32, dim_mults=(1, 2, 4), flash_attn=False), (image(2, 32), torch.tensor([3, 9]))


@case("Neural spline flow, log-probability", "zuko")
def spline_flow() -> Made:
    import zuko

    class LogProb(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flow = zuko.flows.NSF(8, transforms=2, hidden_features=(64, 64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.flow().log_prob(x)

    return LogProb(), (torch.rand(256, 8),)


# Medicine


@case("3-D U-Net", "monai")
def monai_unet() -> Made:
    from monai.networks.nets import UNet

    model = UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2), num_res_units=2)
    return model, (torch.rand(1, 1, 32, 32, 32),)


@case("Swin UNETR", "monai")
def swin_unetr() -> Made:
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=3), (torch.rand(1, 1, 64, 64, 64),)


@case("DynUNet", "monai")
def dyn_unet() -> Made:
    from monai.networks.nets import DynUNet

    model = DynUNet(
        spatial_dims=3, in_channels=1, out_channels=2, kernel_size=[3, 3, 3], strides=[1, 2, 2], upsample_kernel_size=[2, 2],
        filters=[8, 16, 32],
    )  # fmt: skip
    return model, (torch.rand(1, 1, 32, 32, 32),)


# Graphs, molecules, symmetry


def graph(nodes: int = 200, edges: int = 1000, features: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(nodes, features), torch.randint(0, nodes, (2, edges))


@case("GCN", "torch_geometric")
def gcn() -> Made:
    from torch_geometric.nn import GCN

    return GCN(32, 64, num_layers=3, out_channels=7), graph()


@case("GAT", "torch_geometric")
def gat() -> Made:
    from torch_geometric.nn import GAT

    return GAT(32, 64, num_layers=2, out_channels=7, heads=4), graph()


@case("GIN, pooled by graph", "torch_geometric")
def gin() -> Made:
    from torch_geometric.nn import GIN, global_add_pool

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gin, self.head = GIN(32, 64, num_layers=3), nn.Linear(64, 5)

        def forward(self, x: torch.Tensor, edges: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
            return self.head(global_add_pool(self.gin(x, edges), batch))

    return Pooled(), (*graph(), torch.arange(200) // 50)


@case("Message passing of molecules", "chemprop")
def molecules() -> Made:
    import numpy as np
    from chemprop.data import BatchMolGraph, MolGraph
    from chemprop.nn import BondMessagePassing

    rng = np.random.default_rng(0)
    both = [[i, (i + 1) % 12] for i in range(12)] + [[(i + 1) % 12, i] for i in range(12)]
    order = [i // 2 + 12 * (i % 2) for i in range(24)]
    rings = [
        MolGraph(
            V=rng.random((12, 72), dtype=np.float32), E=rng.random((24, 14), dtype=np.float32),
            edge_index=np.array(both)[order].T, rev_edge_index=np.arange(24) ^ 1,
        )
        for _ in range(8)
    ]  # fmt: skip
    batch = BatchMolGraph(rings)
    for name in ("V", "E", "edge_index", "rev_edge_index"):  # their memory is NumPy's, which the profiler does not see
        setattr(batch, name, getattr(batch, name).clone())
    return BondMessagePassing(d_h=64), (batch,)


@case("Tensor product of irreps", "e3nn")
def tensor_product() -> Made:
    from e3nn import o3

    product = o3.FullyConnectedTensorProduct("16x0e + 8x1o", "1x0e + 1x1o", "16x0e + 8x1o")
    return product, (torch.rand(64, 40), torch.rand(64, 4))


# Time, sound, series


@case("Conformer", "torchaudio")
def conformer() -> Made:
    from torchaudio.models import Conformer

    model = Conformer(input_dim=80, num_heads=4, ffn_dim=128, num_layers=2, depthwise_conv_kernel_size=31)
    return model, (torch.rand(2, 100, 80), torch.tensor([100, 80]))


@case("ConvTasNet", "torchaudio")
def tasnet() -> Made:
    from torchaudio.models import ConvTasNet

    model = ConvTasNet(enc_num_feats=64, msk_num_feats=32, msk_num_hidden_feats=64, msk_num_layers=4, msk_num_stacks=2)
    return model, (torch.rand(2, 1, 4000),)


@case("wav2vec 2.0, two layers", "torchaudio")
def wav2vec() -> Made:
    from torchaudio.models import wav2vec2_model

    model = wav2vec2_model(
        extractor_mode="group_norm", extractor_conv_layer_config=[(64, 10, 5), (64, 3, 2), (64, 3, 2)],
        extractor_conv_bias=False, encoder_embed_dim=128, encoder_projection_dropout=0.0, encoder_pos_conv_kernel=16,
        encoder_pos_conv_groups=4, encoder_num_layers=2, encoder_num_heads=4, encoder_attention_dropout=0.0,
        encoder_ff_interm_features=256, encoder_ff_interm_dropout=0.0, encoder_dropout=0.0,
        encoder_layer_norm_first=False, encoder_layer_drop=0.0, aux_num_out=32,
    )  # fmt: skip
    return model, (torch.rand(2, 4000),)


@case("ECAPA-TDNN", "speechbrain")
def ecapa() -> Made:
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    model = ECAPA_TDNN(80, channels=[64, 64, 64, 64, 192], lin_neurons=48, attention_channels=32)
    return model, (torch.rand(2, 100, 80),)


@case("CRDNN", "speechbrain")
def crdnn() -> Made:
    from speechbrain.lobes.models.CRDNN import CRDNN

    model = CRDNN(
        input_shape=[2, 60, 40], cnn_channels=(16, 32), rnn_neurons=64, rnn_layers=1, dnn_neurons=64, dropout=0.0
    )
    return model, (torch.rand(2, 60, 40),)


@case("EnCodec", "encodec", trains=False)
def encodec() -> Made:
    from encodec.modules import SEANetDecoder, SEANetEncoder

    class Codec(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = SEANetEncoder(dimension=64, n_filters=8, ratios=[4, 2])
            self.decoder = SEANetDecoder(dimension=64, n_filters=8, ratios=[4, 2])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.decoder(self.encoder(x))

    return Codec(), (torch.rand(2, 1, 2000),)


@case("InceptionTime", "tsai")
def inception_time() -> Made:
    from tsai.models.InceptionTime import InceptionTime

    return InceptionTime(3, 5), (torch.rand(4, 3, 128),)


@case("Temporal convolutional net", "pytorch-tcn")
def tcn() -> Made:
    from pytorch_tcn import TCN

    return TCN(num_inputs=16, num_channels=[32, 32, 32], kernel_size=4, dropout=0.0), (torch.rand(4, 16, 128),)


@case("N-BEATS blocks", "pytorch-forecasting")
def nbeats() -> Made:
    from pytorch_forecasting.models.nbeats.sub_modules import NBEATSGenericBlock

    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(
                NBEATSGenericBlock(units=64, thetas_dim=16, num_block_layers=3, backcast_length=48, forecast_length=12)
                for _ in range(3)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            total = x.new_zeros(x.shape[0], 12)
            for block in self.blocks:
                backcast, forecast = block(x)
                x, total = x - backcast, total + forecast
            return total

    return Blocks(), (torch.rand(32, 48),)


# Equations, operators, spikes


@case("Neural ODE, Runge-Kutta of 4 steps", "torchdiffeq", assume={"item": 1})
def neural_ode() -> Made:
    from torchdiffeq import odeint

    class Ode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.field = nn.Sequential(nn.Linear(32, 128), nn.Tanh(), nn.Linear(128, 32))
            self.register_buffer("times", torch.linspace(0, 1, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return odeint(lambda _, y: self.field(y), x, self.times, method="rk4")[-1]

    return Ode(), (torch.rand(64, 32),)


@case("Fourier neural operator", "neuraloperator")
def fno() -> Made:
    from neuralop.models import FNO

    return FNO(n_modes=(8, 8), hidden_channels=16, in_channels=1, out_channels=1, n_layers=2), (image(2, 32, 1),)


@case("Leaky integrate-and-fire net, 10 steps", "snntorch")
def spiking() -> Made:
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(256, 128), snn.Leaky(beta=0.9)
            self.fc2, self.lif2 = nn.Linear(128, 10), snn.Leaky(beta=0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state1, state2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            out = []
            for _ in range(10):
                spikes, state1 = self.lif1(self.fc1(x), state1)
                spikes, state2 = self.lif2(self.fc2(spikes), state2)
                out.append(state2)
            return torch.stack(out)

    return Net(), (torch.rand(32, 256),)


@case("Spiking convolutional net", "spikingjelly")
def spiking_conv() -> Made:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                layer.Conv2d(3, 16, 3, padding=1), layer.BatchNorm2d(16), neuron.IFNode(surrogate_function=surrogate.ATan()),
                layer.MaxPool2d(2), layer.Flatten(), layer.Linear(16 * 256, 10), neuron.LIFNode(),
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            functional.reset_net(self)
            return torch.stack([self.body(x) for _ in range(4)]).mean(0)

    return Net(), (image(4, 32),)


# Tables, processes, frames


@case("FT-Transformer", "rtdl_revisiting_models")
def ft_transformer() -> Made:
    from rtdl_revisiting_models import FTTransformer

    kwargs = FTTransformer.get_default_kwargs(2) | {
        "attention_dropout": 0.0,
        "ffn_dropout": 0.0,
        "residual_dropout": 0.0,
    }
    model = FTTransformer(n_cont_features=12, cat_cardinalities=[4, 7], d_out=1, **kwargs)
    return model, (torch.rand(64, 12), torch.randint(0, 4, (64, 2)))


@case("TabNet", "pytorch-tabnet")
def tabnet() -> Made:
    from pytorch_tabnet.tab_network import TabNetNoEmbeddings

    groups = torch.eye(16)
    return TabNetNoEmbeddings(16, 3, group_attention_matrix=groups), (torch.rand(128, 16),)


@case("Gaussian process with a deep kernel", "gpytorch", trains=False, assume={"item": 1})
def deep_kernel() -> Made:
    import gpytorch

    class Kernel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 2))
            self.kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.features(x)
            return self.kernel(z, z).to_dense()

    return Kernel(), (torch.rand(128, 16),)


@case("LightningModule around a convolutional net", "lightning")
def lightning_module() -> Made:
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(
                nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                nn.Linear(32, 10),
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

    return Classifier(), (image(4, 32),)


@case("Linear layers with int8 weights", "torchao", trains=False)
def int8_weights() -> Made:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 64)).eval()
    quantize_(model, Int8WeightOnlyConfig())
    return model, (torch.rand(32, 256),)
