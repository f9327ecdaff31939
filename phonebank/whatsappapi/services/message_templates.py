"""Message templates: saved texts that campaigns and people begin with."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.dispatch.render import render, tags
from phonebank.whatsappapi.models import MessageTemplate
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.media import NO_MEDIA, Media, check_text, media_of

MOST = 500  # templates of one user
UNCHANGED = object()


def create_template(*, actor: User, name: str, body: str = "", media: Media | None = None) -> MessageTemplate:
    """A new template; names are unique per user, whatever their case. `media` comes from `media.read`."""
    text = _text(body, media)
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if MessageTemplate.objects.visible_to(owner).count() >= MOST:
            raise ServiceError(
                _("You have %(most)s templates, which is the most. Delete one first.") % {"most": MOST}, code="too_many"
            )
        template = MessageTemplate(user=owner, name=_free(owner, name), body=text)
        _carry(template, media)
        template.save()
        record(actor=actor, verb="template.created", target=template, media=template.media_kind)
    return template


def update_template(
    *,
    actor: User,
    template: MessageTemplate,
    name: str | None = None,
    body: str | None = None,
    media: Media | object | None = UNCHANGED,
) -> MessageTemplate:
    """Changes what is given. Campaigns that began with it keep what they have."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        found = _owned(owner, template)
        before = found.name, found.body, media_of(found)
        carried = media_of(found) if media is UNCHANGED else media
        assert carried is None or isinstance(carried, Media)
        found.body = _text(found.body if body is None else body, carried)
        if name is not None:
            found.name = _free(owner, name, own=found.pk)
        _carry(found, carried)
        after = found.name, found.body, media_of(found)
        if after != before:
            found.save()
            changed = [what for what, old, new in zip(("name", "body", "media"), before, after, strict=True)
                       if old != new]  # fmt: skip
            record(actor=actor, verb="template.changed", target=found, what=changed)
    return found


def delete_template(*, actor: User, template: MessageTemplate) -> None:
    """Ends a template. What was sent or drafted with it stays."""
    with transaction.atomic():
        found = _owned(actor, template)
        record(actor=actor, verb="template.deleted", target=found)
        found.delete()


def preview(body: str, variables: dict[str, object]) -> str:
    """The text as somebody with these values gets it."""
    return render(body, variables)


def tags_of(body: str) -> list[str]:
    """The names of the merge tags in it."""
    return tags(body)


def _text(body: str, media: Media | None) -> str:
    try:
        return check_text(body, media)
    except ServiceError as error:
        raise ServiceError(
            error.message.replace(_("Nothing was sent."), _("Nothing was saved.")), code=error.code
        ) from None


def _carry(template: MessageTemplate, media: Media | None) -> None:
    for name, value in (media.as_fields() if media else NO_MEDIA).items():
        setattr(template, name, value)


def _owned(actor: User, template: MessageTemplate) -> MessageTemplate:
    found = MessageTemplate.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=template.pk).first()
    if found is None:
        raise ServiceError(_("This template does not exist."), code="not_found")
    return found


def _free(owner: User, name: str, own: int | None = None) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 80 or not name.isprintable():
        raise ServiceError(_("A template needs a name of at most 80 visible characters."), code="name")
    others = MessageTemplate.objects.visible_to(owner).exclude(pk=own).values_list("name", flat=True)
    if any(name.casefold() == one.casefold() or name.lower() == one.lower() for one in others):
        raise ServiceError(
            _("You already have a template named “%(name)s”. Choose another name.") % {"name": name}, code="name_taken"
        )
    return name
