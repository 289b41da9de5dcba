"""Transport of folders to and from the Hugging Face hub: `hf://owner/name` or `hf://owner/name@revision`."""

from pathlib import Path

from saev.errors import SaevError, first_line

SCHEME = "hf://"


def upload(folder: str | Path, repo: str, message: str, *, private: bool = False) -> str:
    """Commit a folder's files to the repository `repo`, made if it is not there.

    Returns:
        The address for `fetch`, with the revision that was made.

    Raises:
        SaevError: the hub refuses, or the repository is public and `private` was asked for.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.repo_info(repo).private:  # creating what exists has changed nothing
            raise SaevError("it is public, and private=True was asked for")
        made = api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message=message)
    except Exception as error:  # the hub's, its HTTP library's, SaevError
        raise SaevError(f"{SCHEME}{repo}: cannot be written to: {first_line(error)}") from None
    return f"{SCHEME}{repo}@{made.oid}"


def fetch(source: str, files: list[str]) -> Path:
    """Download these files of a repository, or find them in the hub's cache, and return their folder.

    Raises:
        SaevError: no such repository or revision, or no connection.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = source.removeprefix(SCHEME).partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=files))
    except Exception as error:  # the hub's and its HTTP library's
        raise SaevError(f"{source}: no SAE can be had there: {first_line(error)}") from None
