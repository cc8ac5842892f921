"""TensorBoard's own code is the reference for what it is to read."""

from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from harness_components.tensorboard.event_records import masked, record


@given(st.binary(max_size=700))
def test_checksums_are_tensorboards(content):
    assert masked(content) == masked_crc32c(content)


def test_records_of_any_length_can_be_read_back(tmp_path):
    contents = [b"\xff" * length for length in (0, 1, 3, 4, 255, 256, 257, 259, 260, 5000)]
    path = tmp_path / "events"
    path.write_bytes(b"".join(record(content) for content in contents))
    assert list(RawEventFileLoader(str(path)).Load()) == contents  # it verifies every checksum
