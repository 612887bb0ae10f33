"""The key that signs rules for kernels: the configured one, or one made beside the store."""

from collections.abc import Mapping
from pathlib import Path

from gateway.app.parts import PartError
from gateway.config.secret_references import SecretError, read_or_create, resolve
from gateway.config.settings import Settings
from gateway.identity.kernel_signer import KernelSigner
from gateway.identity.signer import generate_key_pem
from gateway.identity.signing_key import SigningKeyError


def kernel_signer(settings: Settings, environ: Mapping[str, str]) -> KernelSigner:
    """The signer of rules; its key is made, mode 0600, where none is configured and none is there.

    Raises:
        PartError: it can't be used.
    """
    store = settings.store.path
    try:
        if settings.kernel.key is not None:
            return KernelSigner(resolve(settings.kernel.key, environ))
        file = store.with_name(f"{store.name}.kernel.pem")
        return KernelSigner(read_or_create(Path(file), lambda: generate_key_pem("EdDSA")))
    except (SecretError, SigningKeyError) as error:
        raise PartError(f"kernel.key: {error}") from None
