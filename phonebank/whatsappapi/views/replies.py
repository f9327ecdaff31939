"""Pages of replies: who wrote back, and the conversation with one of them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from phonebank.whatsappapi.message_forms import AnswerForm
from phonebank.whatsappapi.models import Campaign, Conversation, WaSenderSession
from phonebank.whatsappapi.services import replies as service
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act, read_moment
from phonebank.whatsappapi.views.live import render_live

ROWS = 30
PAGE = "whatsappapi/reply.html"


@require_safe
def replies(request: HttpRequest) -> HttpResponse:
    """Conversations, the latest first; the first page refreshes itself."""
    q, unread = request.GET.get("q", "").strip()[:60].replace("\x00", ""), request.GET.get("unread") == "1"
    mine = WaSenderSession.objects.usable_by(request.user, LENT_TO["reply"])
    wa_session = _named(mine, request.GET.get("session", ""))
    campaign = _named(Campaign.objects.visible_to(request.user), request.GET.get("campaign", ""))
    rows = service.find_conversations(request.user, q=q, wa_session=wa_session, campaign=campaign, unread=unread)
    place = request.GET.get("after", "")
    shown = list(_after(rows, place)[: ROWS + 1])
    query = request.GET.copy()
    for name in ("after", "live"):
        query.pop(name, None)
    context = {
        "nav": "replies", "rows": [(one, service.CARRIED.get(one.last_media, "")) for one in shown[:ROWS]], "q": q,
        "unread": unread, "wa_session": wa_session, "campaign": campaign, "wa_sessions": mine.order_by("session_name"),
        "next": _place(shown[ROWS - 1]) if len(shown) > ROWS else "", "query": query.urlencode(), "is_first": not place,
        "is_narrow": bool(q or unread or wa_session or campaign),
    }  # fmt: skip
    poll = f"{reverse('whatsappapi:replies')}?{query.urlencode()}"
    return render_live(request, "whatsappapi/replies.html", "conversations", context, poll.rstrip("?"))


@require_safe
def reply(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """One conversation. Looking at it counts as reading it."""
    conversation = _conversation_or_404(request, public_id)
    before = read_moment(request.GET.get("before", ""))
    context = _context(request, conversation, before) | {"form": AnswerForm()}
    if request.method == "GET" and before is None:
        service.mark_read(actor=request.user, conversation=conversation)
    return render_live(request, PAGE, "thread", context, reverse("whatsappapi:reply", args=[public_id]))


@require_POST
def reply_answer(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """What cannot be sent stays in the box, with the reason."""
    conversation = _conversation_or_404(request, public_id)
    form = AnswerForm(request.POST)
    if form.is_valid():
        try:
            service.answer(actor=request.user, conversation=conversation, body=form.cleaned_data["body"])
        except ServiceError as error:
            form.add_error("body", error.message)
        else:
            return redirect(f"{reverse('whatsappapi:reply', args=[public_id])}#answer")
    poll = reverse("whatsappapi:reply", args=[public_id])
    context = _context(request, conversation, None) | {"form": form, "poll": f"{poll}?live"}
    return render(request, PAGE, context, status=422)


@require_POST
def reply_decide(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """What nobody can tell of: counted as sent, or sent once more."""
    conversation = _conversation_or_404(request, public_id)
    verb = request.POST.get("verb", "")
    try:
        attempt = uuid.UUID(request.POST.get("attempt", ""))
    except ValueError:
        raise Http404 from None
    if verb not in ("assume", "again"):
        raise Http404
    done = _("In line again; they may get it twice.") if verb == "again" else _("Counted as sent.")
    act(request, service.decide, done, conversation=conversation, attempt=attempt, again=verb == "again")
    return redirect("whatsappapi:reply", public_id)


@require_POST
def reply_number(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Looks up the number behind a LID."""
    conversation = _conversation_or_404(request, public_id)
    try:
        conversation = service.find_number(actor=request.user, conversation=conversation)
    except ServiceError as error:
        context = _context(request, conversation, None) | {"form": AnswerForm(), "problem": error.message}
        poll = reverse("whatsappapi:reply", args=[public_id])
        return render(request, PAGE, context | {"poll": f"{poll}?live"}, status=422)
    return redirect("whatsappapi:reply", conversation.public_id)


def _context(request: HttpRequest, conversation: Conversation, before: datetime | None) -> dict[str, Any]:
    thread = service.thread(conversation, request.user, before)
    suppression = service.suppression_of(conversation, request.user)
    return {
        "nav": "replies", "conversation": conversation, "thread": thread, "suppression": suppression,
        "is_review": suppression is not None and suppression.reason == suppression.Reason.REVIEW,
        "is_owners": suppression is not None and suppression.user_id != request.user.pk,
        "is_own": conversation.user_id == request.user.pk,
        "before": before, "earlier": thread.earlier.isoformat() if thread.earlier else "",
        "beat": 2 if thread.is_open else 4,
    }  # fmt: skip


def _conversation_or_404(request: HttpRequest, public_id: uuid.UUID) -> Conversation:
    found = service.conversation_of(request.user, public_id)
    if found is None:
        raise Http404
    return found


def _named(rows: Any, text: str) -> Any:
    """The row that the address names; None for none, 404 for one that is not there."""
    if not text:
        return None
    try:
        return get_object_or_404(rows, public_id=uuid.UUID(text))
    except ValueError:
        raise Http404 from None


def _place(one: Conversation) -> str:
    return f"{one.last_at.isoformat()}_{one.public_id}"


def _after(rows: Any, place: str) -> Any:
    rows = rows.order_by("-last_at", "-public_id")
    text, __, last = place.partition("_")
    at = read_moment(text)
    try:
        public_id = uuid.UUID(last)
    except ValueError:
        return rows
    return rows.filter(Q(last_at__lt=at) | Q(last_at=at, public_id__lt=public_id)) if at else rows
