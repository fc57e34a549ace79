"""Writes a model for llama.cpp that is tiny and talks nonsense: random weights, 700 kB.

    python make_tiny_model.py OUT.gguf [--any-byte] [--closing-bias N]

Architecture, tokenizer and chat template are real ones. The first number of each hidden state
never changes, so the first column of the output matrix is a bias: it says which tokens are likely.
"""

from __future__ import annotations

import argparse

import gguf
import numpy as np

CONTEXT, WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 2048, 64, 2, 4, 2, 128
WORDS = (
    "the and ing you for that with have this from they will would there their what about which "
    "when make can like time just him know take people into year your good some could them see "
    "other than then now look only come its over think also back after use two how our work first "
    "well way even new want because any these give day most us is it in on at to of or as be do we "
    "he so no if an by go me my up hello hi weather city Oslo true false null name ok"
).split()
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n'"
    " + (m['content'] if m['content'] is string else '') + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NEVER = -30.0


def letters() -> list[str]:
    """GPT-2's alphabet: the printable character that stands for each byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges: each byte, and the words with and without a space before."""
    alphabet = letters()
    space = alphabet[32]
    tokens, merges = list(alphabet), []
    words = [form for word in WORDS for form in (word, space + word)]
    for word in words + [space + letter for letter in "abcdefghijklmnopqrstuvwxyz"]:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append(f"{word[: end - 1]} {word[end - 1]}")
    return tokens, merges


def biases(tokens: list[str], any_byte: bool, closing_bias: float) -> np.ndarray:
    bias = np.zeros(len(tokens) + len(CONTROL), np.float32)
    bias[:256] = -1
    bias[:32] = bias[127] = NEVER
    if any_byte:
        bias[128:256] = 0
    else:
        bias[128:256] = NEVER
    bias[[tokens.index(closing) for closing in '"}]']] = closing_bias
    bias[len(tokens) :] = NEVER
    bias[len(tokens) + CONTROL.index("<|im_end|>")] = 0
    return bias


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--any-byte", action="store_true", help="bytes from 0x80 on as well")
    parser.add_argument("--closing-bias", type=float, default=-1, help="of quotes and brackets")
    arguments = parser.parse_args()

    tokens, merges = vocabulary()
    size = len(tokens) + len(CONTROL)
    end_of_text, _, end_of_turn, padding = range(len(tokens), size)

    file = gguf.GGUFWriter(arguments.out, "llama")
    file.add_name("tiny-random-llama")
    file.add_context_length(CONTEXT)
    file.add_embedding_length(WIDTH)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(FEED_FORWARD)
    file.add_head_count(HEADS)
    file.add_head_count_kv(KV_HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_rope_freq_base(10000.0)
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_vocab_size(size)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list(tokens + CONTROL)
    file.add_token_types(
        [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.CONTROL] * len(CONTROL)
    )
    file.add_token_merges(merges)
    file.add_bos_token_id(end_of_text)
    file.add_eos_token_id(end_of_turn)
    file.add_pad_token_id(padding)
    file.add_add_bos_token(False)
    file.add_chat_template(CHATML)

    generator = np.random.default_rng(0)

    def weights(*shape: int, scale: float = 0.08) -> np.ndarray:
        return (generator.standard_normal(shape) * scale).astype(np.float32)

    embedding = weights(size, WIDTH, scale=0.5)
    embedding[:, 0] = 4
    output = weights(size, WIDTH, scale=0.35)
    output[:, 0] = biases(tokens, arguments.any_byte, arguments.closing_bias) / 3
    ones = np.ones(WIDTH, np.float32)
    file.add_tensor("token_embd.weight", embedding)
    file.add_tensor("output_norm.weight", ones)
    file.add_tensor("output.weight", output)
    key_width = KV_HEADS * WIDTH // HEADS
    for layer in range(LAYERS):
        # What a layer adds to the first number of the hidden state is nothing.
        tensors = {
            "attn_norm": ones,
            "ffn_norm": ones,
            "attn_q": weights(WIDTH, WIDTH),
            "attn_k": weights(key_width, WIDTH),
            "attn_v": weights(key_width, WIDTH),
            "attn_output": weights(WIDTH, WIDTH),
            "ffn_gate": weights(FEED_FORWARD, WIDTH),
            "ffn_up": weights(FEED_FORWARD, WIDTH),
            "ffn_down": weights(WIDTH, FEED_FORWARD),
        }
        tensors["attn_output"][0] = tensors["ffn_down"][0] = 0
        for name, tensor in tensors.items():
            file.add_tensor(f"blk.{layer}.{name}.weight", tensor)

    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


if __name__ == "__main__":
    main()
